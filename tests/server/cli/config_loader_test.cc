#include "server/cli/config_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>

namespace tandem {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Environment FakeEnvironment(std::map<std::string, std::string> values) {
  return [values = std::move(values)](const std::string& name) -> std::optional<std::string> {
    const auto it = values.find(name);
    if (it == values.end()) return std::nullopt;
    return it->second;
  };
}

std::string WriteFile(const std::string& name, const std::string& text) {
  const std::string path = testing::TempDir() + name;
  std::ofstream(path) << text;
  return path;
}

absl::StatusOr<Config> Load(std::vector<std::string> args,
                            std::map<std::string, std::string> environment = {}) {
  return LoadConfig(SERVE, args, FakeEnvironment(std::move(environment)));
}

std::string ErrorOf(std::vector<std::string> args,
                    std::map<std::string, std::string> environment = {}) {
  const auto config = Load(std::move(args), std::move(environment));
  EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(config.status().message());
}

TEST(ConfigLoaderTest, DefaultsComeFromTheProto) {
  const auto config = Load({});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->port(), 8000);
  EXPECT_EQ(config->drain_timeout(), 30.0);
  EXPECT_EQ(config->max_body_bytes(), 16 << 20);
  EXPECT_EQ(config->host(), "127.0.0.1");
}

TEST(ConfigLoaderTest, CommandLineBeatsEnvironmentBeatsFileBeatsDefault) {
  const std::string file = WriteFile(
      "precedence.yaml", "port: 1\nmax_num_seqs: 2\nblock-size: 3\nserved-model-name: [a, b]\n");
  const auto config = Load({"--config", file, "--port=10", "--served-model-name", "c"},
                           {{"TANDEM_PORT", "20"}, {"TANDEM_MAX_NUM_SEQS", "21"}});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->port(), 10);
  EXPECT_EQ(config->max_num_seqs(), 21);
  EXPECT_EQ(config->block_size(), 3);
  EXPECT_THAT(config->served_model_name(), ElementsAre("c"));
}

TEST(ConfigLoaderTest, UnitsAliasesAndShortNamesAreUnderstood) {
  const auto config = Load({"-m", "x.gguf", "-c", "4096", "--kv-cache-bytes", "2GiB",
                            "--shutdown-timeout", "500ms", "--max_num_seqs=7", "--kv-lease=3"});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->model(), "x.gguf");
  EXPECT_EQ(config->max_model_len(), 4096);
  EXPECT_EQ(config->kv_cache_bytes(), int64_t{2} << 30);
  EXPECT_DOUBLE_EQ(config->drain_timeout(), 0.5);
  EXPECT_EQ(config->max_num_seqs(), 7);
  EXPECT_DOUBLE_EQ(config->kv_lease(), 3);
}

TEST(ConfigLoaderTest, BooleansHaveANegativeForm) {
  EXPECT_TRUE(Load({"--print-config"})->print_config());
  EXPECT_FALSE(Load({"--print-config", "--no-print-config"})->print_config());
}

TEST(ConfigLoaderTest, AnUnknownOptionNamesTheNearestKnownOne) {
  EXPECT_THAT(ErrorOf({"--max-num-seq", "3"}), HasSubstr("did you mean --max-num-seqs?"));
  EXPECT_THAT(ErrorOf({"--zzzzzzzzzzzz"}), HasSubstr("unknown option --zzzzzzzzzzzz"));
  EXPECT_THAT(ErrorOf({"--role", "prefill"}), HasSubstr("unknown option --role"));  // worker's
  EXPECT_THAT(ErrorOf({"--no-port"}), HasSubstr("unknown option --no-port"));
  EXPECT_THAT(ErrorOf({"--config", WriteFile("unknown.yaml", "prot: 3\n")}),
              HasSubstr("did you mean port?"));
}

TEST(ConfigLoaderTest, BadValuesNameOptionAndValue) {
  EXPECT_THAT(ErrorOf({"--port", "http"}),
              HasSubstr("option --port: expected a whole number from 0 to 65535, got \"http\""));
  EXPECT_THAT(ErrorOf({"--port", "70000"}), HasSubstr("to 65535"));
  EXPECT_THAT(ErrorOf({"--port", "1.5"}), HasSubstr("a whole number"));
  EXPECT_THAT(ErrorOf({"--port", "nan"}), HasSubstr("expected a whole number"));
  EXPECT_THAT(ErrorOf({"--kv-cache-dtype", "q8"}), HasSubstr("one of f16, bf16, f32, int8"));
  EXPECT_THAT(ErrorOf({"--drain-timeout", "soon"}), HasSubstr("a time such as"));
  EXPECT_THAT(ErrorOf({"--kv-cache-bytes", "1XB"}), HasSubstr("a number of bytes"));
  EXPECT_THAT(ErrorOf({"--port"}), HasSubstr("needs a value"));
  EXPECT_THAT(ErrorOf({"model.gguf"}), HasSubstr("unexpected argument \"model.gguf\""));
  EXPECT_THAT(ErrorOf({}, {{"TANDEM_BLOCK_SIZE", "x"}}), HasSubstr("TANDEM_BLOCK_SIZE"));
  EXPECT_THAT(ErrorOf({"--config", WriteFile("list.yaml", "port: [1]\n")}), HasSubstr("port"));
  EXPECT_THAT(ErrorOf({"--config", WriteFile("broken.yaml", "port: [1\n")}),
              HasSubstr("broken.yaml"));
}

TEST(ConfigLoaderTest, AMissingFileIsNotFound) {
  EXPECT_EQ(Load({"--config", "/nowhere.yaml"}).status().code(), absl::StatusCode::kNotFound);
}

TEST(ConfigLoaderTest, KubernetesServiceLinksAreIgnored) {
  const auto config = Load({}, {{"TANDEM_PORT", "tcp://10.0.0.1:8000"}});
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_EQ(config->port(), 8000);
}

TEST(ConfigLoaderTest, ThePrintedConfigurationReadsBackTheSame) {
  const auto config = Load({"-m", "a \"b\": c", "--port", "1", "--served-model-name", "x",
                            "--served-model-name", "y", "--drain-timeout", "250ms"});
  ASSERT_TRUE(config.ok()) << config.status();
  const auto again = Load({"--config", WriteFile("round.yaml", ConfigYaml(SERVE, *config))});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(ConfigYaml(SERVE, *again), ConfigYaml(SERVE, *config));
  EXPECT_EQ(again->model(), "a \"b\": c");
}

TEST(ConfigLoaderTest, EveryOptionHasHelpACommandAndAValidDefault) {
  for (Command command : {SERVE, GATEWAY, SCHEDULER, WORKER, CHAT, EVAL, BENCH_ENGINE, QUANTIZE,
                          BENCH, SIMULATE, PLAN, PROFILE, REPLAY}) {
    EXPECT_TRUE(LoadConfig(command, {}, FakeEnvironment({})).ok());
  }
  const auto* descriptor = Config::descriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const OptionInfo& info = descriptor->field(i)->options().GetExtension(option);
    EXPECT_FALSE(info.help().empty()) << descriptor->field(i)->name();
    EXPECT_GT(info.commands_size(), 0) << descriptor->field(i)->name();
  }
}

TEST(ConfigLoaderTest, AGreedyOptionTakesAllUpToTheNextFlag) {
  const auto config =
      LoadConfig(BENCH, {"--goodput", "ttft:200", "tpot:50", "--search", "--goodput=e2el:9"},
                 FakeEnvironment({}));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->goodput(), ElementsAre("ttft:200", "tpot:50", "e2el:9"));
  EXPECT_TRUE(config->search());
}

TEST(ConfigLoaderTest, ArgumentsOfNoFlagGoToThePositionalOption) {
  const auto config =
      LoadConfig(BENCH, {"compare", "a.json", "--html", "x", "b.json"}, FakeEnvironment({}));
  ASSERT_TRUE(config.ok()) << config.status();
  EXPECT_THAT(config->actions(), ElementsAre("compare", "a.json", "b.json"));
  EXPECT_EQ(config->html(), "x");
  EXPECT_THAT(ErrorOf({"compare"}), HasSubstr("unexpected argument \"compare\""));
}

}  // namespace
}  // namespace tandem
