#include "server/event_splitter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace tandem {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> Split(const std::vector<std::string>& pieces) {
  EventSplitter splitter;
  std::vector<std::string> events;
  for (const std::string& piece : pieces) {
    splitter.Feed(piece, [&](absl::string_view data) {
      events.emplace_back(data);
      return true;
    });
  }
  return events;
}

TEST(EventSplitterTest, TakesDataLinesAndDropsTheRest) {
  EXPECT_THAT(Split({"data: {\"a\":1}\n\n: ping\n\nevent: x\ndata:two\r\n\r\ndata: \n\n"}),
              ElementsAre("{\"a\":1}", "two", ""));
}

TEST(EventSplitterTest, EventsMayBeCutAnywhere) {
  const std::string stream = "data: first one\n\n: c\n\ndata: second\r\n\r\ndata: [DONE]\n\n";
  const std::vector<std::string> whole = Split({stream});
  EXPECT_THAT(whole, ElementsAre("first one", "second", "[DONE]"));
  for (size_t first = 0; first <= stream.size(); ++first) {
    for (size_t second = first; second <= stream.size(); ++second) {
      EXPECT_EQ(Split({stream.substr(0, first), stream.substr(first, second - first),
                       stream.substr(second)}),
                whole);
    }
  }
}

TEST(EventSplitterTest, AnUnfinishedLineIsNoEvent) { EXPECT_THAT(Split({"data: x"}), IsEmpty()); }

TEST(EventSplitterTest, StopsWhenTheListenerSaysSo) {
  EventSplitter splitter;
  int calls = 0;
  EXPECT_FALSE(splitter.Feed("data: 1\ndata: 2\n", [&](absl::string_view) { return ++calls < 1; }));
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace tandem
