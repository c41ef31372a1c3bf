"""The other side of `--against`: the same scenarios as ordinary tests, run from threads by another plugin.

What a user of pytest-run-parallel would write: a fixture makes the state, the test's body makes an input, runs
one step on the device and one on the CPU, and compares the two with `torch.testing.assert_close`. The device
is loaded in that pytest process, with the fault armed, by a plugin of ours. Nothing else of ours takes part.
Scenarios whose result depends on what other threads did to the state cannot be written like that: they run
without a comparison, so that crashes, exceptions and hangs still count.

Every failing test is a kill when it fails as the fault declares (a wrong value as an assertion, an exception,
a crash of the process, a timeout), so that one session may kill many times. All wall time counts: a session
starts an interpreter and imports torch, and a crash or a timeout ends it.
"""
