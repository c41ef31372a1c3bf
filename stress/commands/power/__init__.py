"""The measured power of the detector: which of the zoo's faults does it kill, how fast, and under which name.

Definitions, after MC Mutants (Levine et al., ASPLOS 2023, "MC Mutants: Evaluating and Improving Testing for
Memory Consistency Specifications"), whose mutants are our seeded faults:

kill
    An attempt (one child process) whose verdict is the one that the fault declares in `stress.device.sim.zoo`. Any
    other failure is a *wrong verdict*: counted apart, and no kill, however right the alarm was.
right name
    A kill whose finding, signature or signal is among the names that the fault declares. Reported as a share.
kill rate L
    Kills per second of wall time, from one attempt's start record to its end record: starting the child,
    preparing, the crew, readback, judging and the deadline of a hang are all in it. References are made once
    per entry in a separate child, with the fault armed. In a budget b they would be made once, so what is
    measured for less than b is charged in proportion: L = kills / attempt seconds * (b - reference seconds) / b.
killed at reproducibility r in budget b
    1 - exp(-L b) >= r, with L the exact lower 95 % bound of a Poisson rate. Attempts are Bernoulli trials,
    whose counts scatter less than Poisson's, and (1 - p)^n <= exp(-p n): both errors are to our disadvantage.
score
    Killed faults / all faults, at r = 99.999 % and b = 64 s. Also shown at r = 95 %.

What each fault's seconds are spent on (`allocation.toml`) is learned from the records of earlier runs (`benchmarks.power_learn`),
never from the run that is being scored, and there are two questions, whose scores must not be mixed up:

the score with records (the default)
    Each fault gets the entries that earlier records show to kill it, as each mutant of MC Mutants is run with the
    test made for it. This answers whether the framework *can* find such a bug at this reproducibility.
the blind score (`--blind`)
    A detector that looks for an unknown bug does not know which one is there: the seconds of every fault go to the
    same entries in the same shares. This answers whether it *would*.

Entries take turns from a random phase, so that the expected number of attempts of each is the same in any stretch
of time and the rate of a fault is constant.

Watching a fault ends at a number of kills that is fixed beforehand, or at the end of its share of the seconds,
or when even the upper bound is below what 95 % needs; only the first can make it *killed*
(`stress.model.stats.poisson_rate_bounds` says why that is exact). A twin runs the same entries; each failure of it
is a false alarm, and one fails the command.

Everything here is simulated: it measures the detector, never a real backend.
"""
