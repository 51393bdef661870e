#include "server/gateway/stop_matcher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tandem {

StopMatcher::StopMatcher(const std::vector<std::string>& stop_strings, bool include_in_output)
    : include_in_output_(include_in_output) {
  for (const std::string& stop_string : stop_strings) {
    if (!stop_string.empty()) automata_.push_back(MakeAutomaton(stop_string));
  }
}

StopMatcher::Automaton StopMatcher::MakeAutomaton(const std::string& stop_string) {
  Automaton automaton{.stop_string = stop_string,
                      .fallback = std::vector<size_t>(stop_string.size(), 0)};
  size_t border = 0;
  for (size_t i = 1; i < stop_string.size(); ++i) {
    while (border > 0 && stop_string[i] != stop_string[border]) {
      border = automaton.fallback[border - 1];
    }
    if (stop_string[i] == stop_string[border]) ++border;
    automaton.fallback[i] = border;
  }
  return automaton;
}

bool StopMatcher::Advance(Automaton& automaton, char byte) {
  size_t& matched = automaton.num_matched;
  while (matched > 0 && automaton.stop_string[matched] != byte) {
    matched = automaton.fallback[matched - 1];
  }
  if (automaton.stop_string[matched] == byte) ++matched;
  return matched == automaton.stop_string.size();
}

StopMatcher::Output StopMatcher::Append(absl::string_view piece, bool may_match) {
  if (!may_match || automata_.empty()) {
    for (Automaton& automaton : automata_) automaton.num_matched = 0;
    return {.text = absl::StrCat(Flush(), piece), .matched = std::nullopt};
  }
  std::string text = std::exchange(held_, "");
  for (const char byte : piece) {
    text.push_back(byte);
    const Automaton* longest = nullptr;
    for (Automaton& automaton : automata_) {
      if (!Advance(automaton, byte)) continue;
      if (longest == nullptr || automaton.stop_string.size() > longest->stop_string.size()) {
        longest = &automaton;
      }
    }
    if (longest == nullptr) continue;
    if (!include_in_output_) text.resize(text.size() - longest->stop_string.size());
    return {.text = std::move(text), .matched = longest->stop_string};
  }
  size_t num_held = 0;
  for (const Automaton& automaton : automata_) num_held = std::max(num_held, automaton.num_matched);
  held_ = text.substr(text.size() - num_held);
  text.resize(text.size() - num_held);
  return {.text = std::move(text), .matched = std::nullopt};
}

std::string StopMatcher::Flush() { return std::exchange(held_, ""); }

}  // namespace tandem
