#include "tests/tree/include_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tree/source_tree.h"

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(IncludeRulesTest, HoldInTheWholeTree) {
  std::vector<std::string> violations;
  for (const SourceFile& file : ReadSourceTree()) {
    if (!IsCpp(file)) continue;
    for (std::string& violation : IncludeViolations(file.path, file.content)) {
      violations.push_back(std::move(violation));
    }
  }
  EXPECT_THAT(violations, IsEmpty());
}

TEST(IncludeRulesTest, AllowFoldersBelow) {
  EXPECT_THAT(IncludeViolations("engine/model/forward.cc",
                                "#include \"engine/model/forward.h\"\n"
                                "#include <vector>\n"
                                "#include \"absl/strings/str_cat.h\"\n"
                                "#include \"engine/kernels/ops.h\"\n"
                                "#include \"engine/core/batch.h\"\n"),
              IsEmpty());
  EXPECT_THAT(
      IncludeViolations("scheduler/planner/search.cc", "#include \"scheduler/sim/queue.h\""),
      IsEmpty());
  EXPECT_THAT(IncludeViolations("engine/kernels/cpu/gemm.cc", "#include \"engine/kernels/ops.h\""),
              IsEmpty());
}

TEST(IncludeRulesTest, NameFileLineAndReason) {
  EXPECT_THAT(IncludeViolations("engine/core/batch.h",
                                "#pragma once\n\n#include \"engine/kv/kv_cache.h\"\n"),
              ElementsAre("engine/core/batch.h:3: includes engine/kv/kv_cache.h: "
                          "engine/core must not include engine/kv"));
}

TEST(IncludeRulesTest, KeepSchedulerAndEngineApart) {
  EXPECT_THAT(IncludeViolations("scheduler/router.cc", "#include \"engine/tensor/tensor.h\""),
              ElementsAre(HasSubstr("scheduler must not include engine/tensor")));
  EXPECT_THAT(IncludeViolations("engine/runner/sampler.cc", "#include \"scheduler/router.h\""),
              ElementsAre(HasSubstr("engine/runner must not include scheduler")));
}

TEST(IncludeRulesTest, KeepTheSimulatorOutOfProduction) {
  EXPECT_THAT(IncludeViolations("scheduler/router.cc", "#include \"scheduler/sim/queue.h\""),
              ElementsAre(HasSubstr("scheduler must not include scheduler/sim")));
}

TEST(IncludeRulesTest, KeepCompatSimulatorsApartFromTheSchedulers) {
  EXPECT_THAT(
      IncludeViolations("scheduler/sim/compat/simulator.cc", "#include \"scheduler/router.h\""),
      ElementsAre(HasSubstr("scheduler/sim/compat must not include scheduler")));
  EXPECT_THAT(IncludeViolations("scheduler/planner/scorer.cc",
                                "#include \"scheduler/sim/compat/simulator.h\""),
              IsEmpty());
}

TEST(IncludeRulesTest, KeepSiblingsApart) {
  EXPECT_THAT(IncludeViolations("engine/kernels/ops.h", "#include \"engine/comm/communicator.h\""),
              ElementsAre(HasSubstr("engine/kernels must not include engine/comm")));
  EXPECT_THAT(IncludeViolations("engine/tokenizer/bpe.cc", "#include \"engine/weights/gguf.h\""),
              ElementsAre(HasSubstr("engine/tokenizer must not include engine/weights")));
}

TEST(IncludeRulesTest, KeepServerLibrariesInServer) {
  for (const char* include : {"<grpcpp/grpcpp.h>", "<grpc/grpc.h>", "<google/protobuf/message.h>",
                              "<boost/asio.hpp>", "<prometheus/counter.h>", "\"proto/worker.pb.h\"",
                              "\"proto/worker.grpc.pb.h\"", "\"grpcpp/grpcpp.h\""}) {
    const std::string line = std::string("  #  include ") + include;
    EXPECT_THAT(IncludeViolations("scheduler/router.cc", line),
                ElementsAre(HasSubstr("in server/ only")));
    EXPECT_THAT(IncludeViolations("server/worker/worker.cc", line), IsEmpty());
  }
}

TEST(IncludeRulesTest, KeepCudaInCudaFolders) {
  for (const char* include : {"<cuda_runtime.h>", "<cublas_v2.h>", "\"nccl.h\"", "<cub/cub.cuh>"}) {
    const std::string line = std::string("#include ") + include;
    EXPECT_THAT(IncludeViolations("engine/kernels/ops.h", line),
                ElementsAre(HasSubstr("in engine/*/cuda/ only")));
    EXPECT_THAT(IncludeViolations("server/worker/worker.cc", line),
                ElementsAre(HasSubstr("in engine/*/cuda/ only")));
    EXPECT_THAT(IncludeViolations("engine/kernels/cuda/ops.cu", "#include <cuda_runtime.h>"),
                IsEmpty());
  }
}

TEST(IncludeRulesTest, LetNothingIncludeTestsToolsOrCommands) {
  EXPECT_THAT(IncludeViolations("server/worker/worker.cc", "#include \"tests/testing/fake.h\""),
              ElementsAre(HasSubstr("must not include tests/testing")));
  EXPECT_THAT(IncludeViolations("engine/kv/kv_cache.cc", "#include \"tools/generated.h\""),
              ElementsAre(HasSubstr("must not include tools")));
  EXPECT_THAT(IncludeViolations("server/worker/worker.cc", "#include \"server/cli/serve.h\""),
              ElementsAre(HasSubstr("server/worker must not include server/cli")));
  EXPECT_THAT(IncludeViolations("server/cli/serve.cc", "#include \"server/worker/worker.h\""),
              IsEmpty());
  EXPECT_THAT(IncludeViolations("server/main.cc", "#include \"server/cli/commands.h\""), IsEmpty());
  EXPECT_THAT(IncludeViolations("server/grpc_status.cc", "#include \"server/cli/commands.h\""),
              ElementsAre(HasSubstr("server must not include server/cli")));
}

TEST(IncludeRulesTest, LetTestsIncludeAnything) {
  EXPECT_THAT(IncludeViolations("tests/server/worker/worker_test.cc",
                                "#include <grpcpp/grpcpp.h>\n#include \"engine/kv/kv_cache.h\""),
              IsEmpty());
}

TEST(IncludeRulesTest, RefuseAFolderWithoutARow) {
  EXPECT_THAT(IncludeViolations("engine/misc/thing.h", "#include <vector>"),
              ElementsAre(HasSubstr("engine/misc has no row")));
}

TEST(IncludeRulesTest, WantPathsFromTheRoot) {
  EXPECT_THAT(IncludeViolations("engine/kv/kv_cache.cc", "#include \"kv_cache.h\""),
              ElementsAre(HasSubstr("by their path from the root")));
}

}  // namespace
}  // namespace tandem
