#include "server/bench/html_page.h"

#include "absl/strings/str_cat.h"
#include "server/bench/svg_plot.h"

namespace tandem {
namespace {

constexpr char kStyle[] = R"(
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1180px; margin: 2em auto; padding: 0 1em;
       color: #1c1c1c; background: #fff; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25em .7em; text-align: right; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 1em; }
figure { margin: 0; } svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: #333; } .title { font-weight: 600; font-size: 14px; } .note { fill: #a33; }
.grid { stroke: #e6e6e6; } .axis { stroke: #666; } .mark { stroke: #a33; stroke-dasharray: 5 4; }
.legend { margin: 0 0 0 4em; font-size: 13px; }
)";

}  // namespace

std::string HtmlPage(const std::string& title, const std::string& body) {
  const std::string escaped = EscapeHtml(title);
  return absl::StrCat("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>",
                      escaped, "</title><style>", kStyle, "</style></head><body>\n<h1>", escaped,
                      "</h1>\n", body, "</body></html>\n");
}

std::string HtmlTable(const std::vector<std::vector<std::string>>& rows) {
  std::string html = "<table>";
  for (const std::vector<std::string>& row : rows) {
    const char* tag = &row == &rows.front() ? "th" : "td";
    html += "<tr>";
    for (const std::string& cell : row) {
      absl::StrAppend(&html, "<", tag, ">", EscapeHtml(cell), "</", tag, ">");
    }
    html += "</tr>\n";
  }
  return html + "</table>\n";
}

}  // namespace tandem
