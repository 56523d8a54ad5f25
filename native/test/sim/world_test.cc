#include "sim/engine_host.h"
#include "test/support/engine_world.h"

namespace atl::testing {
namespace {

/// The engine on a simulated machine, as the tests that run over every store see it.
class SimWorld final : public World {
 public:
  explicit SimWorld(uint64_t seed) : host_(seed, seed * 7919) {}

  const char* name() const override { return "sim"; }
  Engine& engine() override { return host_.engine(); }
  StoreAccess stores() override { return host_.stores(); }
  void run(Task<void> task) override { host_.machine().run(host_.registrar(), std::move(task)); }
  uint64_t allocated_bytes() override { return host_.disk().allocated_bytes(); }

  void restart() override {
    (void)host_.stop();  // after a power cut it cannot succeed, but everything ends
    VERIFY(host_.start());
  }
  bool crash() override {
    sim::Disk& disk = host_.disk();
    if (!disk.is_off()) {
      if (host_.machine().random().below(3) == 0)
        disk.kill();
      else
        disk.cut_power();
    }
    (void)host_.stop();
    disk.turn_on();
    VERIFY(host_.start());
    return true;
  }
  void arm_crash(uint64_t operations) override { host_.disk().cut_power_after(operations); }
  bool is_off() override { return host_.disk().is_off(); }
  bool limit_space(uint64_t more_bytes) override {
    sim::Disk& disk = host_.disk();
    disk.set_capacity(more_bytes == UINT64_MAX ? UINT64_MAX : disk.allocated_bytes() + more_bytes);
    disk.fail_one_in(sim::Operation::kv_write, more_bytes == UINT64_MAX ? 0 : 20, Code::no_space);
    return true;
  }

 private:
  sim::EngineHost host_;
};

}  // namespace

std::unique_ptr<World> sim_world(uint64_t seed) { return std::make_unique<SimWorld>(seed); }

}  // namespace atl::testing
