// See communicator.h. The one file that knows c10d: libtorch's wheels leave Gloo's headers out, so it is compiled by
// itself, with stand-ins for them (CMakeLists.txt).
#include <ATen/ATen.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <condition_variable>
#include <map>
#include <mutex>
#include <sstream>
#include <thread>

#include "dist/communicator.h"
#include "errors.h"

namespace mnv2 {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

/** Said by one thread, waited for by another; outlives whichever goes first. */
struct Signal {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  void say() {
    std::lock_guard<std::mutex> lock(mutex);
    done = true;
    changed.notify_all();
  }
  /** False where `leaving` said so first. */
  bool wait(const std::function<bool()>& leaving) {
    std::unique_lock<std::mutex> lock(mutex);
    while (!changed.wait_for(lock, Milliseconds(50), [&] { return done; }))
      if (leaving()) return false;
    return true;
  }
};

/** The first line of what c10d and Gloo say, without their file names. */
std::string first_line(std::string text) {
  text = text.substr(0, text.find('\n'));
  if (text.rfind('[', 0) == 0) {
    const auto end = text.find("] ");
    if (end != std::string::npos) text = text.substr(end + 2);
  }
  return text;
}

class Gloo : public Communicator {
 public:
  Gloo(const Meeting& meeting, std::function<bool()> leaving) : meeting_(meeting), leaving_(std::move(leaving)) {
    const auto timeout = Milliseconds(static_cast<int64_t>(meeting.timeout * 1000));
    const auto until = Clock::now() + timeout;
    auto keys = c10::make_intrusive<c10d::PrefixStore>(meeting.prefix, store(timeout));
    // Gloo waits for all without looking at anything else: it begins when all are here.
    auto count = [&](int64_t more) {
      try {
        return keys->add("here", more);
      } catch (const std::exception& e) {
        missed(first_line(e.what()));
      }
    };
    for (auto here = count(1); here < meeting.world; here = count(0))
      pause_until(until, (here == 1 ? "there was " : "there were ") + std::to_string(here));
    auto options = c10d::ProcessGroupGloo::Options::create(timeout);
    try {
      options->devices.push_back(meeting.interface.empty()
                                     ? c10d::ProcessGroupGloo::createDeviceForHostname(meeting.address)
                                     : c10d::ProcessGroupGloo::createDeviceForInterface(meeting.interface));
    } catch (const std::exception& e) {
      const auto by = meeting.interface.empty() ? "address '" + meeting.address : "interface '" + meeting.interface;
      throw Failure("ENVIRONMENT", "process group: there is no network " + by + "' here: " + first_line(e.what()));
    }
    try {
      group_ = c10::make_intrusive<c10d::ProcessGroupGloo>(keys, meeting.rank, meeting.world, std::move(options));
    } catch (const std::exception& e) {
      missed(first_line(e.what()));
    }
  }

  ~Gloo() override {
    // Its end waits for its threads, which may wait for somebody who is gone.
    if (broken_) (void)group_.release();
  }

  void all_reduce(const std::vector<at::Tensor>& tensors, Reduction how) override {
    c10d::AllreduceOptions options;
    options.reduceOp = how == Reduction::sum     ? c10d::ReduceOp::SUM
                       : how == Reduction::least ? c10d::ReduceOp::MIN
                                                 : c10d::ReduceOp::MAX;
    each(tensors, [&](std::vector<at::Tensor>& one) { wait(group_->allreduce(one, options), "allReduce"); });
  }

  void broadcast(const std::vector<at::Tensor>& tensors, int root) override {
    c10d::BroadcastOptions options;
    options.rootRank = root;
    each(tensors, [&](std::vector<at::Tensor>& one) { wait(group_->broadcast(one, options), "broadcast"); });
  }

  std::vector<at::Tensor> all_gather(const at::Tensor& rows) override {
    const auto counts = gather(at::full({1}, rows.size(0), at::kLong));
    int64_t most = 0;
    for (const auto& count : counts) most = std::max(most, count.item<int64_t>());
    if (most == 0) return std::vector<at::Tensor>(counts.size(), rows);
    auto shape = rows.sizes().vec();
    shape[0] = most;
    auto padded = at::zeros(shape, rows.options());
    padded.narrow(0, 0, rows.size(0)).copy_(rows);
    auto all = gather(padded);
    for (size_t r = 0; r < all.size(); r++) all[r] = all[r].narrow(0, 0, counts[r].item<int64_t>());
    return all;
  }

  void agree(const std::string& asked) override {
    // Without this, processes that ask for different things exchange each other's bytes, or wait for ever.
    uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
    for (const unsigned char c : asked) hash = (hash ^ c) * 0x100000001b3u;
    const auto own = static_cast<int64_t>(hash >> 1);
    const auto ends = at::tensor({own, -own}, at::kLong);
    all_reduce({ends}, Reduction::most);
    if (ends[0].item<int64_t>() == -ends[1].item<int64_t>()) return;
    throw Failure("USAGE", "process group: the processes do not ask for the same; rank " +
                               std::to_string(meeting_.rank) + " of " + std::to_string(meeting_.world) + " asks for " +
                               asked + ". Make the same calls in the same order on all of them");
  }

 private:
  /** The store. The caller has seen that somebody listens where it is hosted: connecting cannot be interrupted. */
  c10::intrusive_ptr<c10d::TCPStore> store(Milliseconds timeout) const {
    c10d::TCPStoreOptions options;
    options.port = meeting_.port;
    options.isServer = meeting_.hosts;
    options.waitWorkers = false;
    options.timeout = timeout;
    try {
      return c10::make_intrusive<c10d::TCPStore>(meeting_.host, options);
    } catch (const std::exception& e) {
      if (!meeting_.hosts) missed(first_line(e.what()));
      throw Failure("ENVIRONMENT", "process group: rank 0 cannot listen on port " + std::to_string(meeting_.port) +
                                       ": " + first_line(e.what()) + ". Choose another MASTER_PORT");
    }
  }

  void pause_until(Clock::time_point until, const std::string& so_far) const {
    if (leaving_()) left("joining");
    if (Clock::now() >= until) missed(so_far);
    std::this_thread::sleep_for(Milliseconds(20));
  }

  [[noreturn]] void missed(const std::string& why) const {
    std::ostringstream text;
    text << "rank " << meeting_.rank << " did not meet all " << meeting_.world << " processes at " << meeting_.host
         << ":" << meeting_.port << " within " << meeting_.timeout << " s: " << why;
    throw Failure("DISTRIBUTED", text.str());
  }

  std::vector<at::Tensor> gather(const at::Tensor& value) {
    std::vector<std::vector<at::Tensor>> out(1);
    for (int r = 0; r < meeting_.world; r++) out[0].push_back(at::empty_like(value));
    std::vector<at::Tensor> in{value};
    wait(group_->allgather(out, in), "allGather");
    return std::move(out[0]);
  }

  /** One collective a dtype: many small tensors take no longer than one large one. */
  template <class Collective>
  void each(const std::vector<at::Tensor>& tensors, Collective collective) {
    std::map<at::ScalarType, std::vector<at::Tensor>> kinds;  // in an order all processes share
    for (const auto& tensor : tensors)
      if (tensor.numel() > 0) kinds[tensor.scalar_type()].push_back(tensor);
    for (const auto& [dtype, of] : kinds) {
      std::vector<at::Tensor> flat;
      for (const auto& tensor : of) flat.push_back(tensor.reshape(-1));
      std::vector<at::Tensor> one{of.size() == 1 ? flat[0].contiguous() : at::cat(flat)};
      collective(one);
      int64_t at = 0;
      for (const auto& tensor : of) {
        tensor.copy_(one[0].narrow(0, at, tensor.numel()).view(tensor.sizes()));
        at += tensor.numel();
      }
    }
  }

  template <class Work>
  void wait(const Work& work, const char* what) {
    if (broken_) throw Failure("DISTRIBUTED", std::string(what) + ": this process group has failed before");
    auto signal = std::make_shared<Signal>();
    const auto future = work->getFuture();
    future->addCallback([signal](c10::ivalue::Future&) { signal->say(); });
    broken_ = true;
    if (!signal->wait(leaving_)) left(what);
    if (future->hasError())
      throw Failure("DISTRIBUTED", "rank " + std::to_string(meeting_.rank) + " of " + std::to_string(meeting_.world) +
                                       " lost another in " + what + ": " +
                                       first_line(future->tryRetrieveErrorMessage()));
    broken_ = false;
  }

  [[noreturn]] static void left(const char* what) {
    throw Failure("ABORTED", std::string(what) + ": aborted; the process group is of no more use");
  }
  const Meeting meeting_;
  const std::function<bool()> leaving_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
  bool broken_ = false;  // something of it may never end
};

}  // namespace

std::shared_ptr<Communicator> Communicator::join(const Meeting& meeting, std::function<bool()> leaving) {
  return std::make_shared<Gloo>(meeting, std::move(leaving));
}

}  // namespace mnv2
