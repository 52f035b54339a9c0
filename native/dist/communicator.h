// Communicator: one process among several that compute together, and what they tell each other. The transport is
// c10d's, with Gloo between CPUs; owns when waiting ends: at a timeout, or when whoever waits is told to leave.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace mnv2 {

/** Where the processes of one run meet. */
struct Meeting {
  int rank = 0, world = 1;
  std::string host;  // of the key-value store all of them reach
  uint16_t port = 0;
  bool hosts = false;     // this process is the store's server
  std::string prefix;     // of its keys: another attempt of a run meets elsewhere in the same store
  std::string address;    // of this machine, as the others reach it
  std::string interface;  // a network interface instead; empty: by address
  double timeout = 0;     // seconds; of joining and of each collective
};

enum class Reduction { sum, least, most };

/**
 * Collectives: every process of the group makes the same calls in the same order, with tensors of the same dtypes and
 * shapes. Failures are Failure DISTRIBUTED: a process is gone, or did not come in time. Afterwards the group is of no
 * more use. One call at a time.
 */
class Communicator {
 public:
  virtual ~Communicator() = default;
  /** Waits for all processes. `leaving` is looked at while anything is waited for: true ends it at once. */
  static std::shared_ptr<Communicator> join(const Meeting& meeting, std::function<bool()> leaving);

  /** In place; bits are the same on every process. Tensors on the CPU. */
  virtual void all_reduce(const std::vector<at::Tensor>& tensors, Reduction how) = 0;
  /** In place, from process `root`. */
  virtual void broadcast(const std::vector<at::Tensor>& tensors, int root) = 0;
  /** [n, ...] of each process, by rank; n may differ. */
  virtual std::vector<at::Tensor> all_gather(const at::Tensor& rows) = 0;
  /** Returns once every process is here. Throws Failure USAGE on all where they do not ask for the same. */
  virtual void agree(const std::string& asked) = 0;
};

}  // namespace mnv2
