#include "server/worker/advertised_address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>

#include "absl/strings/str_cat.h"

namespace tandem {
namespace {

// The first IPv4 address of an interface that is up and not loopback; loopback where there is none.
std::string MachineAddress() {
  std::string address = "127.0.0.1";
  ifaddrs* interfaces = nullptr;
  if (getifaddrs(&interfaces) != 0) return address;
  for (const ifaddrs* each = interfaces; each != nullptr; each = each->ifa_next) {
    const bool usable = (each->ifa_flags & IFF_UP) != 0 && (each->ifa_flags & IFF_LOOPBACK) == 0;
    if (!usable || each->ifa_addr == nullptr || each->ifa_addr->sa_family != AF_INET) continue;
    char text[INET_ADDRSTRLEN] = {};
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(each->ifa_addr)->sin_addr, text,
              sizeof(text));
    address = text;
    break;
  }
  freeifaddrs(interfaces);
  return address;
}

}  // namespace

std::string AdvertisedAddress(const std::string& advertised, const std::string& host, int port) {
  if (!advertised.empty()) {
    const bool has_port = advertised.find(':') != std::string::npos;
    return has_port ? advertised : absl::StrCat(advertised, ":", port);
  }
  const bool everywhere = host.empty() || host == "0.0.0.0" || host == "::" || host == "[::]";
  return absl::StrCat(everywhere ? MachineAddress() : host, ":", port);
}

}  // namespace tandem
