// The one binary: tandem SUBCOMMAND [options].
#include <cstdio>
#include <string>
#include <vector>

#include "server/cli/commands.h"

int main(int argc, char** argv) {
  return tandem::RunCommand(std::vector<std::string>(argv + 1, argv + argc));
}
