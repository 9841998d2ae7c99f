#pragma once

#include <string>
#include <vector>

#include "base/robot.h"
#include "base/rotation.h"
#include "motion/reference.h"

namespace twist {

/// Where the root of a stream is over the floor, and its heading, at every frame.
struct Path {
  std::vector<Vec2> xy;     // (frames) m
  std::vector<double> yaw;  // (frames) rad, not wrapped
};

/// Integrates the velocities of a stream from the origin with heading zero (trapezoids: rows hold
/// central differences).
Path integrate_path(const Trajectories& motion, int stream);

/// A point that moves with a body of the model and is named like one.
struct FixedPoint {
  std::string name, body;
  Vec3 offset;  // in the body's frame, m
};

/// Every body at every frame of a stream. The first body is the root.
struct BodyPoses {
  std::vector<std::string> names;  // (bodies)
  std::vector<double> positions;   // (frames, bodies, 3) in the world, m
  std::vector<double> rotations;   // (frames, bodies, 4) body to world, w x y z
  std::vector<double> local;       // (frames, bodies, 3) from the root, in the root's frame, m
};

/// The bodies of the model, then `points`, by MuJoCo's kinematics: the path above, the height and
/// the attitude of the rows. Throws UserError for a stream that does not exist, another number of
/// joints, or a point on a body that the model lacks.
BodyPoses body_poses(const Robot& robot, const Trajectories& motion, int stream,
                     const std::vector<FixedPoint>& points = {});

}  // namespace twist
