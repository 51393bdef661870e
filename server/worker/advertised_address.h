// The address that other processes reach this one by.
#pragma once

#include <string>

namespace tandem {

// `advertised` (with `port` appended where it has none) if given; else `host` if it is a particular
// address; else, when listening everywhere, this machine's first address that is not loopback.
std::string AdvertisedAddress(const std::string& advertised, const std::string& host, int port);

}  // namespace tandem
