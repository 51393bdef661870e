// Which folder may include what: docs/architecture.md, section 3, as a table.
//
//   for (const std::string& violation : IncludeViolations("engine/kv/kv_cache.h", content)) ...
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace tandem {

// What `content`, the text of the source file `path` (relative to the root of the tree), includes
// against the rules; each a sentence "path:line: ...". Knows nothing of other files: an include of
// a file that is not there is the compiler's matter. Lines inside comments count too, so examples
// in comments follow the rules as well.
std::vector<std::string> IncludeViolations(absl::string_view path, absl::string_view content);

}  // namespace tandem
