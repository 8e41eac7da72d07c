#include "models/runtime.h"

#include <string>

#include <gtest/gtest.h>

#include "harness/base/error.h"
#include "models/machine_probe.h"

namespace dlm {
namespace {

TEST(Runtime, ThreadsAreSetAndZeroMeansEveryCore) {
  set_threads(1);
  EXPECT_EQ(threads_in_use(), 1);
  set_threads(0);
  EXPECT_GE(threads_in_use(), 1);
}

TEST(Runtime, DevicesAreCheckedByName) {
  EXPECT_NO_THROW(check_device("cpu"));
  EXPECT_THROW(check_device("gpu"), ConfigError);
  EXPECT_THROW(check_device("cuda:x"), ConfigError);
  EXPECT_THROW(check_device("cuda:4096"), ConfigError);
  EXPECT_NO_THROW(synchronise("cpu"));
}

TEST(Runtime, KnowsItsLibtorch) {
  EXPECT_FALSE(torch_version().empty());
  EXPECT_FALSE(cpu_capability().empty());
}

TEST(MachineProbe, MeasuresPositiveRates) {
  EXPECT_GT(measure_linear_gflops("aten", "f32", {16, 64, 64}), 0);
  EXPECT_GT(measure_read_gigabytes_per_second(), 0);
  const std::string chosen = auto_backend("f32");
  EXPECT_TRUE(chosen == "aten" || chosen == "onednn" || chosen == "panels");
  EXPECT_GT(measure_linear_gflops(chosen, "f32", {16, 64, 64}), 0);
}

}  // namespace
}  // namespace dlm
