// What `tandem COMMAND --help` prints of options.
#pragma once

#include <string>

#include "proto/config.pb.h"

namespace tandem {

// The options of `command` under the headings of their sections, with what each may be and its
// default, in lines of at most 80 columns.
std::string OptionHelp(Command command);

}  // namespace tandem
