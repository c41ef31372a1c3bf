// The replayable mode: one thing runs at a time, and a seeded generator picks which. In the free mode (the default) all
// of this does nothing and the operating system schedules.
//
// Crew threads attach; from then on each runs only while it has the turn, which is handed over at the device's entry
// points, where a thread waits for the device, and inside fault windows. Streams have no thread of their own: what a
// stream runs next is picked together with the threads and run by one executor thread. So the order of everything on
// the device follows from the seed as long as threads block in the device only. A thread that keeps the turn without
// coming back (a user's lock) loses it after a while, and the schedule is then called not replayable.
// Random walk: every ready thread or stream is equally likely. PCT (Burckhardt et al., ASPLOS 2010): the ready one of
// highest random priority, with depth - 1 priority changes at random steps.
#pragma once

#include <functional>
#include <string>

namespace mps_sim {

bool schedule_is_free();

// A point at which the calling thread may lose the turn. Nothing in the free mode, or for a thread that is not attached.
void schedule_yield();

// Replayable mode only: returns when `ready()` holds. `ready` must be cheap and without side effects.
void schedule_wait(const std::function<bool()>& ready);

// What the streams offer to the executor.
struct RunnableStreams {
  std::function<int()> count;                       // Number of streams.
  std::function<bool(int)> is_runnable;             // Whether the stream's next piece of work can run now.
  std::function<void(int)> run_one;                 // Runs it; on the executor's thread.
};
void schedule_serve(RunnableStreams streams);

void note_ran(int stream, const char* name);  // For device_order().

}  // namespace mps_sim
