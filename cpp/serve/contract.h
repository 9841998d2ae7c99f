#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/robot.h"
#include "env/observation.h"

namespace twist {

constexpr int kContractFormat = 2;

/// What a policy file says about itself (contract.json, written by bundle_writer.py). A policy must
/// not be driven by a program for which any of this differs.
struct Contract {
  std::string kind, robot;
  std::vector<std::string> joints;                                 // of the robot, in order
  std::vector<double> kp, kd, effort, lower, upper, default_pose;  // (joints)
  std::vector<std::string> actions;                                // joints the policy moves
  std::vector<double> action_scale;                                // (actions) rad
  double action_clip = 0;
  int rate_hz = 0;
  std::vector<std::pair<std::string, int>> blocks;  // of the observation: name, width
  int width = 0;                                    // of the observation
  int history = 0, remembered = 0;                  // frames at its end, numbers of each
  int estimates = 0;                                // that follow the actions in the output
  std::vector<int> strides;                         // of the convolutions, if there are any
  std::vector<std::pair<std::string, std::vector<int>>> tensors;  // of weights.f32, in order
  int golden = 0;                                                 // pairs in golden.f32
  std::vector<std::pair<std::string, std::uintmax_t>> files;      // names and bytes

  int present() const { return width - history * remembered; }
  int outputs() const { return static_cast<int>(actions.size()) + estimates; }
};

/// Reads contract.json. Throws UserError for a file that is damaged, lacks an entry or has another
/// format.
Contract read_contract(const std::filesystem::path& file);

/// Throws UserError naming the first difference between what a policy was made for and this robot,
/// whose policies see `layout`.
void check_contract(const Contract& contract, const Robot& robot, const ObservationLayout& layout);

}  // namespace twist
