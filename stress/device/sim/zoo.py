"""The bug zoo: the seeded faults of the simulated device, as data. Imports no torch.

Each fault is a switch in `harness/runtime`; here stands what it models, what a user would see, and which
verdict the detector must give. A fault's probability (the chance that one pass through the place takes the
unsafe path) and window (the longest pause inside it) were fixed when it was written, before any tuning:
0.01 and no pause, unless `why` gives a reason. A *twin* makes the same random draws but takes the safe path.

A fault strikes only while at least two threads use the device: one that a single thread can see needs no
framework like this to be found.
"""

from __future__ import annotations

from dataclasses import dataclass

PROBABILITY_DEFAULT = 0.01
DESIGNS = {
    "fork": "the fork's pool: main thread on stream 0, workers round-robin over streams 1-31, graph caches per thread",
    "fork-free-list": "the fork's pool with exclusive slots: worker 32 waits, or raises, until a slot is free",
    "upstream": "upstream's: all plain threads on stream 0, explicit streams 1-32, one graph cache",
}
"""How threads get streams on the simulated device, by the name that `--mps-sim-design` uses."""
DESIGN_DEFAULT = "upstream"
"""PyTorch's own: on the fork's, a lock of Python does not order the device, and a correct program would look wrong."""
FORK_CAPABILITIES = frozenset({"per_thread_streams", "release_slot", "batch_queue"})
"""Capabilities that the fork's designs have and upstream's has not."""

METAL = (
    "metal/encoder-overlap",
    "metal/double-commit",
    "metal/encode-after-commit",
    "metal/commit-open-encoder",
    "metal/handler-after-commit",
)
WRONG_VALUE = ("cross-talk", "stale", "unwritten", "torn", "nan", "numeric", "shape")
SEGFAULT = ("SIGSEGV", "SIGBUS")


@dataclass(frozen=True)
class Fault:
    """One seeded fault."""

    name: str
    area: str
    design: str
    """The design of the pool that has this bug: one of `DESIGNS`."""
    verdict: str
    """The only verdict that counts as a kill."""
    names: tuple[str, ...]
    """Names of the finding, signature or signal that are right for it."""
    models: str
    """The class of real bugs that it stands for."""
    sees: str
    """What a user of such a backend would see."""
    links: tuple[str, ...] = ()
    unkept: tuple[str, ...] = ()
    """What it promises and does not keep (`stress.order.broken_promise`), where its bug is a missing order. Found without a
    wrong value, that counts as a kill too."""
    probability: float = PROBABILITY_DEFAULT
    window_us: int = 0
    why: str = ""
    """The reason for a probability or window other than the default."""


_PYTORCH = "https://github.com/pytorch/pytorch/issues/"
_DML = "https://github.com/dropbox/dML"
_ONCE_PER_THREAD = "this place is passed once in a thread's life, not once per operation"
_ONCE_PER_PROCESS = "this place is passed once in a process's life"
_RARE_CALL = "this place is passed only by a call that programs make seldom"

FAULTS: tuple[Fault, ...] = (
    # stream pool
    Fault(
        "pool_counter_unlocked",
        "stream pool",
        "fork",
        "mismatch",
        WRONG_VALUE,
        "The round-robin counter is read and written back without atomicity, so that two threads get one stream.",
        "Two of at most 31 worker threads share a stream: less parallelism, and every wrong answer that follows "
        "from code that believes a stream to be its own.",
        (_DML,),
        probability=0.1,
        window_us=50,
        why=_ONCE_PER_THREAD,
    ),
    Fault(
        "pool_two_threads_one_stream",
        "stream pool",
        "fork",
        "crash",
        (*METAL, *SEGFAULT),
        "A thread encodes to another thread's stream, outside that stream's serial queue.",
        "The process dies with an assertion of Metal's about encoders or command buffers.",
        (_PYTORCH + "197805", _DML),
    ),
    Fault(
        "pool_dangling_slot",
        "stream pool",
        "fork-free-list",
        "mismatch",
        WRONG_VALUE,
        "Releasing a thread's slot leaves the thread's cached pointer to it: the next owner shares the stream.",
        "Two live threads are on one stream although the pool promises each its own.",
        (_DML,),
        probability=0.1,
        why=_RARE_CALL,
    ),
    Fault(
        "pool_slot_leak",
        "stream pool",
        "fork-free-list",
        "race",
        ("exception", "stream/pool-exhausted"),
        "A thread's slot is not given back when the thread ends.",
        "After enough threads the pool is exhausted: 'no free stream' although few threads are alive.",
        (_DML,),
        probability=0.1,
        why=_ONCE_PER_THREAD,
    ),
    Fault(
        "pool_wrong_stream_for_main",
        "stream pool",
        "fork",
        "mismatch",
        WRONG_VALUE,
        "The main thread is taken for a worker and is given a worker's stream.",
        "The main thread's work is not ordered with its own earlier work: stale numbers there, and nowhere else.",
        (_DML,),
        unkept=("stream", "wait", "synchronize", "reuse"),
    ),
    Fault(
        "pool_binding_lost",
        "stream pool",
        "fork",
        "mismatch",
        WRONG_VALUE,
        "The binding of a thread to its stream is lost between two operations, and the thread gets another stream.",
        "An operation reads what an earlier one of the same thread has not written yet.",
        (_DML,),
        unkept=("stream", "wait", "synchronize", "reuse"),
    ),
    # command buffer
    Fault(
        "encoder_outside_queue",
        "command buffer",
        "upstream",
        "crash",
        (*METAL, *SEGFAULT),
        "An operation takes the stream's encoder on the calling thread, outside the stream's serial queue.",
        "arange, linspace or eye in two threads kill the process: 'A command encoder is already encoding'.",
        (_PYTORCH + "197805", "https://github.com/pytorch/pytorch/pull/197836"),
    ),
    Fault(
        "commit_twice",
        "command buffer",
        "upstream",
        "crash",
        METAL,
        "A synchronising operation commits the command buffer after it left the queue: another thread did already.",
        "The process dies: 'commit an already committed command buffer'.",
        ("https://github.com/pytorch/pytorch/pull/108996",),
    ),
    Fault(
        "handler_after_commit",
        "command buffer",
        "upstream",
        "crash",
        METAL,
        "A completion handler is added outside the queue, to a command buffer that was current a moment ago.",
        "nonzero in two threads kills the process: 'Completed handler provided after commit call'.",
        (_PYTORCH + "100285",),
    ),
    Fault(
        "commit_open_encoder",
        "command buffer",
        "upstream",
        "crash",
        METAL,
        "A commit does not end the encoder, which another thread is believed to have ended.",
        "The process dies: 'commit command buffer with uncommitted encoder'.",
        (_DML,),
    ),
    Fault(
        "encoder_released",
        "command buffer",
        "upstream",
        "crash",
        SEGFAULT,
        "A thread keeps an encoder over a commit of another thread, which releases it.",
        "SIGSEGV while a kernel's arguments are bound, without any text.",
        ("https://github.com/pytorch/pytorch/pull/197836",),
    ),
    # allocator
    Fault(
        "allocator_free_list",
        "allocator",
        "upstream",
        "mismatch",
        WRONG_VALUE,
        "A block is taken from the free list without the lock: two tensors get the same memory.",
        "Numbers of one thread appear in another thread's tensor.",
        (_PYTORCH + "86119",),
        window_us=20,
        why="the real search through the buffers of a pool takes microseconds, the simulated one a few instructions",
        unkept=("owner",),
    ),
    Fault(
        "allocator_reuse_before_completion",
        "allocator",
        "fork",
        "mismatch",
        WRONG_VALUE,
        "A freed block is given to another stream although its own stream still works on it.",
        "A new tensor is overwritten by work that was queued before it existed.",
        (_PYTORCH + "193819", _PYTORCH + "189512"),
        unkept=("reuse",),
    ),
    Fault(
        "record_stream_missing",
        "allocator",
        "fork",
        "mismatch",
        WRONG_VALUE,
        "record_stream is accepted and forgotten.",
        "A tensor that was handed to another stream changes under the kernel that reads it.",
        (_PYTORCH + "193464",),
        unkept=("reuse",),
    ),
    Fault(
        "record_stream_first_only",
        "allocator",
        "fork",
        "mismatch",
        WRONG_VALUE,
        "record_stream notes the stream's position at the first call only: later uses are not waited for.",
        "As with a missing record_stream, but only for tensors that are handed over more than once.",
        (_DML,),
        unkept=("reuse",),
    ),
    Fault(
        "allocator_aba",
        "allocator",
        "fork",
        "mismatch",
        WRONG_VALUE,
        "Garbage collection picks an idle block, drops the lock, and afterwards checks the address only: the block "
        "has an owner again.",
        "After empty_cache under load, two tensors share their memory.",
        (_DML, _PYTORCH + "86119"),
        probability=0.1,
        why=_RARE_CALL,
        unkept=("owner", "reuse"),
    ),
    Fault(
        "allocator_size_class",
        "allocator",
        "fork",
        "mismatch",
        WRONG_VALUE,
        "A freed block is filed under two size classes: its upper half is given out a second time.",
        "The end of one tensor is the beginning of another.",
        (_PYTORCH + "187441",),
        unkept=("owner", "reuse"),
    ),
    Fault(
        "allocator_statistics_unlocked",
        "allocator",
        "upstream",
        "mismatch",
        WRONG_VALUE,
        "The counter of allocated bytes is updated without the lock, and updates are lost.",
        "Memory seems to leak, or goes below zero, and limits act at the wrong time.",
        (_PYTORCH + "86119",),
    ),
    # events
    Fault(
        "event_wait_missing",
        "events",
        "fork",
        "mismatch",
        WRONG_VALUE,
        "A stream's wait for an event of another stream is not encoded.",
        "A consumer reads before the producer has written.",
        (_PYTORCH + "194111",),
        unkept=("wait", "synchronize"),
    ),
    Fault(
        "event_wrong_ticket",
        "events",
        "fork",
        "mismatch",
        WRONG_VALUE,
        "A wait is for the position before the one that was recorded.",
        "A consumer misses the producer's last operation.",
        (_PYTORCH + "194111",),
        unkept=("wait", "synchronize"),
    ),
    Fault(
        "event_pool_crosstalk",
        "events",
        "fork",
        "mismatch",
        WRONG_VALUE,
        "An event is taken from the pool while its previous owner still uses it, and recording it resets both.",
        "A wait ends with another thread's event: stale numbers.",
        (_DML,),
        unkept=("owner",),
    ),
    Fault(
        "event_elapsed_time_deadlock",
        "events",
        "fork",
        "hang",
        ("hang",),
        "elapsed_time waits for a notification that an explicit synchronisation has already consumed.",
        "elapsed_time never returns.",
        (_PYTORCH + "162872",),
    ),
    # caches
    Fault(
        "graph_cache_unlocked",
        "caches",
        "upstream",
        "crash",
        SEGFAULT,
        "The shared graph cache is changed without the lock.",
        "SIGSEGV in the look-up of a compiled graph.",
        (_PYTORCH + "167541",),
        window_us=20,
        why="the real look-up makes and compares keys of strings for microseconds, the simulated one a few instructions",
    ),
    Fault(
        "graph_cache_wrong_key",
        "caches",
        "upstream",
        "mismatch",
        WRONG_VALUE,
        "The key of the graph cache leaves out the constants that are compiled into the graph.",
        "An operation with one thread's constant runs with another's: silently wrong numbers.",
        (_PYTORCH + "181485",),
    ),
    Fault(
        "graph_cache_double_compile",
        "caches",
        "upstream",
        "crash",
        SEGFAULT,
        "Two threads compile one graph at the same time; the second result replaces the first, which is in use.",
        "The first use of an operation from several threads kills the process.",
        (_PYTORCH + "167541",),
        probability=0.1,
        why="an operation is compiled once in a process's life",
        unkept=("graph",),
    ),
    Fault(
        "graph_cache_cleared_in_use",
        "caches",
        "upstream",
        "crash",
        SEGFAULT,
        "empty_cache destroys compiled graphs that other threads are about to run.",
        "SIGSEGV in a thread that does nothing unusual while another one frees memory.",
        (_PYTORCH + "181485",),
        probability=0.1,
        why=_RARE_CALL,
        unkept=("graph",),
    ),
    # synchronisation
    Fault(
        "lock_order_inversion",
        "synchronisation",
        "fork",
        "hang",
        ("hang",),
        "record_stream holds the allocator's lock and enters a stream's queue; a commit does it the other way round.",
        "Two threads stand still for ever, with no CPU used.",
        (_PYTORCH + "193464",),
    ),
    Fault(
        "dispatch_sync_reentrant",
        "synchronisation",
        "upstream",
        "crash",
        ("process/libdispatch-self-deadlock", "SIGTRAP"),
        "An operation that found the queue busy enters it a second time from inside.",
        "libdispatch kills the process: 'dispatch_sync called on queue already owned by current thread'.",
        (_DML,),
    ),
    Fault(
        "synchronize_skips_stream",
        "synchronisation",
        "fork",
        "mismatch",
        WRONG_VALUE,
        "synchronize() leaves out a stream that another thread is encoding to.",
        "Numbers that were computed before synchronize() are not there after it.",
        ("https://github.com/OpenNMT/CTranslate2/issues/2077",),
        probability=0.1,
        why=_RARE_CALL,
        unkept=("synchronize",),
    ),
    Fault(
        "wait_lost_wakeup",
        "synchronisation",
        "fork",
        "hang",
        ("hang",),
        "A waiting thread looks at the completion outside the lock and sleeps after the only notification.",
        "synchronize() never returns although the device is idle.",
        (_PYTORCH + "141296", _PYTORCH + "140725"),
        window_us=20,
        why="the real one adds a handler and commits between the look and the wait, which takes tens of microseconds",
    ),
    Fault(
        "error_swallowed",
        "synchronisation",
        "fork",
        "mismatch",
        (*WRONG_VALUE, "missing-exception"),
        "The status of a failed command buffer is not read.",
        "An operation that failed on the device returns garbage instead of an error.",
        (_PYTORCH + "193571",),
        probability=0.1,
        why="this place is passed once per failed operation, and hardly any operation fails",
    ),
    Fault(
        "error_wrong_thread",
        "synchronisation",
        "fork",
        "race",
        ("exception",),
        "An error is kept per device instead of per stream: the thread that synchronises first gets it.",
        "A thread sees the out-of-range index of another thread.",
        (_PYTORCH + "166615", _PYTORCH + "178079"),
        probability=0.1,
        why="this place is passed once per failed operation, and hardly any operation fails",
    ),
    # numerics under concurrency
    Fault(
        "copy_torn",
        "numerics",
        "fork",
        "mismatch",
        WRONG_VALUE,
        "A device-to-device copy is split in two halves, and the second one is encoded to another stream.",
        "The second half of a copied tensor is old.",
        (_PYTORCH + "122016",),
        unkept=("stream", "synchronize", "wait"),
    ),
    Fault(
        "scalar_buffer_reused",
        "numerics",
        "fork",
        "mismatch",
        WRONG_VALUE,
        "Scalar arguments are put into one buffer of the device, which the next operation overwrites.",
        "x * 2 is computed as x * 3, because another thread multiplied by 3.",
        (_PYTORCH + "122016",),
        unkept=("scratch",),
    ),
    Fault(
        "linear_shared_scratch",
        "numerics",
        "fork",
        "mismatch",
        WRONG_VALUE,
        "Linear packs its input into one scratch buffer for all streams.",
        "Linear is right alone and returns other threads' answers, or a mix, from several threads.",
        (_DML,),
        unkept=("scratch",),
    ),
    Fault(
        "layer_norm_shared_statistics",
        "numerics",
        "fork",
        "mismatch",
        WRONG_VALUE,
        "LayerNorm keeps mean and variance in one buffer for all streams between its two kernels.",
        "LayerNorm is normalised with the statistics of another thread's input.",
        (_DML,),
        unkept=("scratch",),
    ),
    Fault(
        "op_pair_order",
        "numerics",
        "fork",
        "mismatch",
        WRONG_VALUE,
        "A copy that makes a tensor contiguous runs beside the stream; attention is the one reader that does not wait.",
        "A packed projection and attention are each right alone; one after the other they are wrong.",
        (_DML,),
        unkept=("stream", "synchronize", "wait"),
    ),
    Fault(
        "generator_unlocked",
        "numerics",
        "upstream",
        "mismatch",
        WRONG_VALUE,
        "The state of the default generator is read and advanced without its lock.",
        "Two threads draw the same random numbers.",
        (_PYTORCH + "91348",),
    ),
    # lifecycle
    Fault(
        "fork_state_reused",
        "lifecycle",
        "fork",
        "mismatch",
        (*WRONG_VALUE, "missing-exception"),
        "A forked child is not refused: it inherits streams whose threads do not exist in it.",
        "The child waits for ever instead of getting an error that says to use spawn.",
        (_PYTORCH + "178037",),
        probability=1.0,
        why=_ONCE_PER_PROCESS,
    ),
    Fault(
        "exit_static_destruction",
        "lifecycle",
        "fork",
        "crash",
        SEGFAULT,
        "The device's objects are destroyed at exit while its threads still work.",
        "A program that printed its result dies with SIGSEGV while it ends.",
        (_PYTORCH + "188812", _PYTORCH + "100635"),
        probability=1.0,
        why=_ONCE_PER_PROCESS,
    ),
    Fault(
        "thread_exit_in_flight",
        "lifecycle",
        "fork",
        "crash",
        SEGFAULT,
        "The graph cache of a thread is freed when the thread ends, with work in flight that uses it.",
        "SIGSEGV some time after a thread has ended, in another one.",
        (_DML,),
        probability=0.1,
        why=_ONCE_PER_THREAD,
        unkept=("graph",),
    ),
    # copies
    Fault(
        "copy_source_freed",
        "copies",
        "fork",
        "mismatch",
        WRONG_VALUE,
        "A non-blocking copy to the device does not keep its source alive.",
        "Random numbers here and there after x.to(device, non_blocking=True) when x is dropped.",
        (_PYTORCH + "139550", _PYTORCH + "189690"),
        unkept=("source",),
    ),
    Fault(
        "batch_queue_wrong_future",
        "copies",
        "fork",
        "mismatch",
        WRONG_VALUE,
        "BatchQueue hands the result of one request to the future of another.",
        "A request gets another request's answer.",
        (_DML,),
    ),
)

BY_NAME = {fault.name: fault for fault in FAULTS}
