// Every RPC of a service by every role, over mutual TLS, compared with what the test says may call it.
//
//   ExpectEveryRole(pki_, *server_, Role::kKeymgr, *service, Rows(), {{"GetStatus", {Role::kReader}}, ...});
#pragma once

#include <google/protobuf/descriptor.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "lib/service/authorization.h"
#include "lib/service/identity.h"
#include "lib/service/server.h"
#include "tests/testutil/test_pki.h"

namespace virp::testutil {

// Method name to who may. The test writes it out once more: the table of the product is not its own judge.
using AllowedRoles = std::map<std::string, std::set<service::Role>>;

// Sends an empty request to each method of `service`, and to one that it does not have, as each role. Who is in
// `allowed` reaches the handler, all others are refused with METHOD_DENIED; a method that is missing there, or has no
// row in `rows`, is a failure, and so is a handler that is not there or does not end within half a minute: streams are
// made to end by the test.
void ExpectEveryRole(TestPki& pki, const service::ServerRunner& server, service::Role server_role,
                     const google::protobuf::ServiceDescriptor& service, const std::vector<service::MethodRule>& rows,
                     const AllowedRoles& allowed);

// The same as sentences, one for each thing that is not as it should be.
std::vector<std::string> WrongRoles(TestPki& pki, const service::ServerRunner& server, service::Role server_role,
                                    const google::protobuf::ServiceDescriptor& service,
                                    const std::vector<service::MethodRule>& rows, const AllowedRoles& allowed);

// The status of an empty request to any method ("/package.Service/Method").
absl::Status EmptyCall(const std::shared_ptr<grpc::Channel>& channel, const std::string& method);

}  // namespace virp::testutil
