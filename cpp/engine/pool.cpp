// The helpers; see pool.hpp.
#include "engine/pool.hpp"

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#endif
#if defined(_MSC_VER)
#include <intrin.h>
#endif

namespace gradstep {
namespace {

using Clock = std::chrono::steady_clock;

std::atomic<bool> rendezvous{false};
thread_local bool helping = false;

// Tells the processor that this is a spin: it saves power and lets a sibling thread through.
void relax() {
#if defined(_MSC_VER) && defined(_M_X64)
  _mm_pause();
#elif defined(_MSC_VER)
  __yield();
#elif defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Waits for about a microsecond. Whoever is waited for may have nowhere to run but here, where
// cores are few or others are busy: so they are let through.
void spin() {
  for (int i = 0; i < 32; ++i) relax();
  std::this_thread::yield();
}

// Signals are for the interpreter's own threads. Faults stay: they must end in a report.
class SignalsBlocked {
#if defined(__unix__) || defined(__APPLE__)
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigdelset(&all, fault);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
#endif
};

// Where a thread runs. A helper may wake on its caller's core while another one is idle: in virtual
// machines Linux takes an idle core that the host has put to sleep for a busy one. It would take
// turns with the caller there for milliseconds, so it moves.
class CpuPlacement {
#if defined(__linux__)
 public:
  CpuPlacement() : core_(sched_getcpu()), thread_(pthread_self()) {}
  void move_away_from(const CpuPlacement& caller) const {
    cpu_set_t allowed;
    if (core_ != caller.core_ || core_ < 0 || core_ >= CPU_SETSIZE) return;
    if (pthread_getaffinity_np(caller.thread_, sizeof allowed, &allowed) != 0) return;
    CPU_CLR(core_, &allowed);
    if (CPU_COUNT(&allowed) > 0) pthread_setaffinity_np(thread_, sizeof allowed, &allowed);
  }

 private:
  int core_;
  pthread_t thread_;
#else
 public:
  void move_away_from(const CpuPlacement&) const {}
#endif
};

struct alignas(64) Helper {
  std::atomic<std::uint64_t> call{0};  // the number of the job that it was last called to
  std::atomic<bool> asleep{false};
  std::mutex mutex;
  std::condition_variable woken;
};

class Pool {
 public:
  int start_workers(int members);
  void run(int members, void (*work)(void*, int), void* context,
           std::chrono::nanoseconds spin_time);

 private:
  [[noreturn]] void help(Helper& helper, int member);
  void wait_for_call(Helper& helper, std::uint64_t last, std::chrono::nanoseconds spin_time);
  void call(int member, std::uint64_t job);
  void call_children(int member);
  void wait_for_all();

  // How the gate is written: the job's number, whether it is open, how many helpers are inside.
  static constexpr std::uint64_t inside = (1u << 20) - 1, open = 1u << 20;
  static constexpr int number_shift = 21;

  std::mutex job_mutex_;        // one job at a time
  std::deque<Helper> helpers_;  // grows only; a deque never moves what it holds
  std::atomic<int> helper_count_{0};

  // The job under way. Written while the gate is shut, read by helpers that are inside.
  void (*work_)(void*, int) = nullptr;
  void* context_ = nullptr;
  int members_ = 1;
  std::chrono::nanoseconds spin_time_{};
  CpuPlacement placement_;  // of the caller
  std::uint64_t job_ = 0;
  std::atomic<int> arrived_{0};  // counted in tests only
  std::atomic<std::uint64_t> gate_{0};
};

int Pool::start_workers(int members) {
  if (helper_count_.load(std::memory_order_acquire) >= members - 1) return members;
  const std::lock_guard<std::mutex> lock(job_mutex_);
  const SignalsBlocked blocked;
  int count = helper_count_.load(std::memory_order_relaxed);
  try {
    for (; count < members - 1; ++count) {
      if (static_cast<int>(helpers_.size()) == count) helpers_.emplace_back();
      Helper& helper = helpers_[static_cast<std::size_t>(count)];
      std::thread([this, &helper, member = count + 1] { help(helper, member); }).detach();
    }
  } catch (const std::exception&) {  // no thread to be had, or no memory for one
    members = count + 1;
  }
  helper_count_.store(count, std::memory_order_release);
  return members;
}

void Pool::run(int members, void (*work)(void*, int), void* context,
               std::chrono::nanoseconds spin_time) {
  const std::unique_lock<std::mutex> job(job_mutex_, std::try_to_lock);
  if (!job.owns_lock()) {
    work(context, 0);
    return;
  }
  work_ = work;
  context_ = context;
  members_ = members;
  spin_time_ = spin_time;
  placement_ = CpuPlacement();
  arrived_.store(0, std::memory_order_relaxed);
  ++job_;
  gate_.store(job_ << number_shift | open, std::memory_order_release);
  call_children(0);
  wait_for_all();
  work(context, 0);
  gate_.fetch_and(~open, std::memory_order_acq_rel);
  while (gate_.load(std::memory_order_acquire) & inside) spin();  // each has a last part in hand
}

// As a tree, so that the caller's own start does not wait for the waking of all: each helper that
// is called calls two more.
void Pool::call_children(int member) {
  for (int child = 2 * member + 1; child <= 2 * member + 2; ++child) {
    if (child < members_) call(child, job_);
  }
}

void Pool::wait_for_all() {
  if (!rendezvous.load(std::memory_order_relaxed)) return;
  arrived_.fetch_add(1);
  while (arrived_.load() < members_) std::this_thread::yield();
}

void Pool::call(int member, std::uint64_t job) {
  Helper& helper = helpers_[static_cast<std::size_t>(member) - 1];
  // Sequentially consistent, as in wait_for_call: either the call is seen there or the sleep here.
  helper.call.store(job, std::memory_order_seq_cst);
  if (helper.asleep.load(std::memory_order_seq_cst)) {
    {
      const std::lock_guard<std::mutex> lock(helper.mutex);
    }
    helper.woken.notify_one();
  }
}

void Pool::wait_for_call(Helper& helper, std::uint64_t last, std::chrono::nanoseconds spin_time) {
  const auto called = [&] { return helper.call.load(std::memory_order_seq_cst) != last; };
  if (spin_time.count() > 0) {
    for (const auto end = Clock::now() + spin_time; Clock::now() < end;) {
      if (called()) return;
      spin();
    }
  }
  std::unique_lock<std::mutex> lock(helper.mutex);
  helper.asleep.store(true, std::memory_order_seq_cst);
  helper.woken.wait(lock, called);
  helper.asleep.store(false, std::memory_order_seq_cst);
}

void Pool::help(Helper& helper, int member) {
  helping = true;
  std::chrono::nanoseconds spin_time{};
  for (std::uint64_t job = 0;;) {
    wait_for_call(helper, job, spin_time);
    job = helper.call.load(std::memory_order_acquire);
    spin_time = {};
    std::uint64_t gate = gate_.load(std::memory_order_acquire);
    do {
      if (gate >> number_shift != job || !(gate & open)) break;
    } while (!gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel));
    if (gate >> number_shift != job || !(gate & open)) continue;  // too late for this one
    call_children(member);
    CpuPlacement().move_away_from(placement_);
    wait_for_all();
    work_(context_, member);
    spin_time = spin_time_;
    gate_.fetch_sub(1, std::memory_order_release);
  }
}

// Never destroyed: helpers sleep in it until the process ends.
Pool& pool() {
  static Pool& instance = *new Pool;
  return instance;
}

}  // namespace

void set_rendezvous(bool on) { rendezvous.store(on); }

bool on_helper() { return helping; }

int start_workers(int members) { return members <= 1 ? 1 : pool().start_workers(members); }

void run_together(int members, void (*work)(void* context, int member), void* context,
                  std::chrono::nanoseconds spin_time) {
  if (members <= 1) {
    work(context, 0);
  } else {
    pool().run(members, work, context, spin_time);
  }
}

}  // namespace gradstep
