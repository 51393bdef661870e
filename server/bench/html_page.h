// A page that needs no other file: what the HTML reports stand on.
#pragma once

#include <string>
#include <vector>

namespace tandem {

// `body` is HTML; plots stand in <div class="plots">. The title is text and also its heading.
std::string HtmlPage(const std::string& title, const std::string& body);

// A table whose first row is the heading; every cell is text.
std::string HtmlTable(const std::vector<std::vector<std::string>>& rows);

}  // namespace tandem
