#include "serve/contract.h"

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace twist {
namespace {

using Json = nlohmann::json;

// the first place in which two lists of names differ
void compare(const std::string& what, const std::vector<std::string>& theirs,
             const std::vector<std::string>& ours) {
  for (std::size_t i = 0; i < std::max(theirs.size(), ours.size()); ++i) {
    const std::string their = i < theirs.size() ? text("'", theirs[i], "'") : "none";
    const std::string our = i < ours.size() ? text("'", ours[i], "'") : "none";
    if (their != our)
      fail("the policy is made for another robot or version: number ", i, " of its ", what, " is ",
           their, ", here it is ", our);
  }
}

void compare(const std::string& what, const std::vector<std::string>& names,
             const std::vector<double>& theirs, const std::vector<double>& ours) {
  if (theirs.size() != ours.size())
    fail("the policy gives ", what, " for ", theirs.size(), " joints, this robot has ",
         ours.size());
  for (std::size_t i = 0; i < ours.size(); ++i) {
    if (!(std::abs(theirs[i] - ours[i]) <= 1e-6 * (1 + std::abs(ours[i]))))
      fail("the policy is made for ", what, " ", theirs[i], " at ", names[i], ", here it is ",
           ours[i]);
  }
}

void read(const Json& json, Contract& c) {
  json.at("kind").get_to(c.kind);
  const Json& robot = json.at("robot");
  robot.at("name").get_to(c.robot);
  robot.at("joints").get_to(c.joints);
  robot.at("kp").get_to(c.kp);
  robot.at("kd").get_to(c.kd);
  robot.at("effort").get_to(c.effort);
  robot.at("lower").get_to(c.lower);
  robot.at("upper").get_to(c.upper);
  robot.at("default_pose").get_to(c.default_pose);
  json.at("rate_hz").get_to(c.rate_hz);

  const Json& observation = json.at("observation");
  observation.at("width").get_to(c.width);
  for (const Json& block : observation.at("blocks"))
    c.blocks.emplace_back(block.at("name"), block.at("width"));
  observation.at("history").at("frames").get_to(c.history);
  observation.at("history").at("width").get_to(c.remembered);

  const Json& output = json.at("output");
  output.at("actions").get_to(c.actions);
  output.at("action_scale").get_to(c.action_scale);
  output.at("action_clip").get_to(c.action_clip);
  output.at("estimates").get_to(c.estimates);

  const Json& network = json.at("network");
  network.at("strides").get_to(c.strides);
  for (const Json& tensor : network.at("tensors"))
    c.tensors.emplace_back(tensor.at("name"), tensor.at("shape").get<std::vector<int>>());
  json.at("golden").at("pairs").get_to(c.golden);
  for (const auto& [name, file] : json.at("files").items())
    c.files.emplace_back(name, file.at("bytes").get<std::uintmax_t>());
}

}  // namespace

Contract read_contract(const std::filesystem::path& file) {
  std::ifstream stream(file);
  if (!stream)
    fail(file.parent_path().string(), " is no policy: it has no ", file.filename().string());
  Contract contract;
  try {
    const Json json = Json::parse(stream);
    const int format = json.at("format");
    if (format != kContractFormat)
      fail(file.string(), " has format ", format, ", but this version reads format ",
           kContractFormat);
    read(json, contract);
  } catch (const Json::exception& error) {
    fail(file.string(), " is damaged: ", error.what());
  }
  return contract;
}

void check_contract(const Contract& c, const Robot& robot, const ObservationLayout& layout) {
  compare("joints", c.joints, robot.joint_names);
  std::vector<std::string> acted;
  for (const int joint : robot.acted_joints) acted.push_back(robot.joint_names[joint]);
  compare("actions", c.actions, acted);
  compare("stiffness", c.joints, c.kp, robot.kp);
  compare("damping", c.joints, c.kd, robot.kd);
  compare("default angle", c.joints, c.default_pose, robot.q_default);
  compare("action scale", c.actions, c.action_scale, robot.action_scale);

  // blocks with their widths
  std::vector<std::string> theirs, ours;
  for (const auto& [name, width] : c.blocks) theirs.push_back(name + ":" + std::to_string(width));
  for (const auto& block : layout.blocks())
    ours.push_back(block.name + ":" + std::to_string(block.width));
  compare("observation", theirs, ours);
  if (c.width != layout.width())
    fail("the policy sees ", c.width, " numbers, but its blocks and history here make ",
         layout.width());
  if (c.rate_hz != std::lround(1 / kControlStep))
    fail("the policy acts ", c.rate_hz, " times a second, but here it is ",
         std::lround(1 / kControlStep));
}

}  // namespace twist
