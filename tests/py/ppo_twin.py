"""One iteration of PPO in plain PyTorch, written apart from the C++ code (see test_ppo_twin.py).

The twin draws the same random numbers (Philox, written here from its paper), acts in double
precision on a second environment, and must arrive at the same gradient moments and weights.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

from twist_cmg import _C

ENVS, HORIZON = 8, 6
ACTION, MINIBATCH = 2, 3  # purposes of random streams
GAMMA, LAMBDA, CLIP, VALUE_CLIP, VALUE_WEIGHT = 0.9, 0.8, 0.15, 0.1, 0.7
ENTROPY, ENTROPY_ITERATIONS, GRAD_NORM = 0.01, 20, 0.5
MIRROR_SHARE, MIRROR_WEIGHT, EMA, LEARNING_RATE = 0.25, 0.3, 0.99, 2e-3
EPOCHS, MINIBATCHES, SHARDS = 3, 2, 3
STD_MIN, STD_MAX = 0.1, 0.6
TARGET_KL = 0.005
KL_START, KL_END, KL_ITERATIONS = 0.4, 0.1, 12
TEACHER_SHARE, DAGGER_RATE, ESTIMATE_STD, ESTIMATE_WEIGHT = 0.6, 3e-3, 0.2, 0.3
ITERATION, UPDATES, ADAM_STEPS = 7, 100, 37
TILT_LIMIT_DEG = 7.0


# ---- random numbers


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b % 2**32, (a >> 32) ^ c[3] ^ k[1], a % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


def words(seed, stream, step, purpose):
    """The endless sequence of 32-bit numbers of one random stream."""
    key = [seed % 2**32, (seed >> 32) ^ (purpose * 0x9E3779B9 % 2**32)]
    block = 0
    while True:
        yield from philox([block, step, stream % 2**32, stream >> 32], key)
        block += 1


def normals(source, count):
    pairs = [(next(source), next(source)) for _ in range(count)]
    return [
        math.sqrt(-2 * math.log((a + 0.5) / 2**32)) * math.cos(2 * math.pi * b / 2**32)
        for a, b in pairs
    ]


def shuffled(count, epoch, seed):
    source, order = words(seed, epoch, ITERATION, MINIBATCH), list(range(count))
    for i in range(count - 1, 0, -1):
        j = next(source) * (i + 1) >> 32
        order[i], order[j] = order[j], order[i]
    return order


# ---- the two environments and the C++ learner


def env_settings(student=False, endless=False):
    settings = _C.EnvSettings()
    settings.observe.kind, settings.observe.history = ("student" if student else "teacher"), 2
    settings.rewards = {"velocity": 1.5, "leg_joints": 0.7, "foot_position": 1.0, "torque": -0.002}
    settings.reset.tilt = 0.04
    settings.termination.min_height = -1e6
    settings.termination.min_foot_distance = 0.0
    settings.termination.max_tilt_deg = 180.0 if endless else TILT_LIMIT_DEG
    settings.episode_s = 1000.0 if endless else 0.4
    return settings


def ppo_settings(dagger=0):
    s = _C.PpoSettings()
    s.network.actor, s.network.critic = [12, 8], [10]
    s.network.std_min, s.network.std_max = STD_MIN, STD_MAX
    s.horizon, s.epochs, s.minibatches, s.shards, s.block = HORIZON, EPOCHS, MINIBATCHES, SHARDS, 3
    s.gamma = GAMMA
    setattr(s, "lambda", LAMBDA)  # a word of Python's
    s.clip, s.value_clip, s.value_weight = CLIP, VALUE_CLIP, VALUE_WEIGHT
    s.entropy, s.entropy_iterations, s.grad_norm = ENTROPY, ENTROPY_ITERATIONS, GRAD_NORM
    s.mirror_share, s.mirror_weight, s.ema = MIRROR_SHARE, MIRROR_WEIGHT, EMA
    s.learning_rate, s.learning_rate_max, s.target_kl = LEARNING_RATE, 1.0, TARGET_KL
    i = s.imitation
    i.dagger_iterations, i.dagger_rate, i.teacher_share = dagger, DAGGER_RATE, TEACHER_SHARE
    i.kl_start, i.kl_end, i.kl_iterations = KL_START, KL_END, KL_ITERATIONS
    i.estimate_std, i.estimate_weight = ESTIMATE_STD, ESTIMATE_WEIGHT
    return s


@dataclass
class Setup:
    robot: object
    pool: object
    workers: object
    seed: int = 0
    teacher: dict | None = None  # the state of a policy: then it is a student that learns
    dagger: int = 0  # iterations of a student's first phase

    def env(self, endless=False):
        settings = env_settings(self.teacher is not None, endless)
        return _C.Env(self.robot, settings, self.pool, ENVS, self.workers, self.seed)

    def ppo(self):
        env, settings = self.env(), ppo_settings(self.dagger)
        imitated = self.teacher and _C.Teacher(self.teacher, _C.EnvSettings(), env)
        return _C.Ppo(env, settings, self.seed, teacher=imitated)


def disturbed(state):
    """A state in the middle of a training: nothing is zero, silent or symmetric."""
    generator = torch.Generator().manual_seed(1)
    out = dict(state)
    for name, tensor in state.items():
        noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float32)
        if name.startswith(("learner.", "policy.actor", "policy.critic", "policy.log_std")):
            out[name] = tensor + (0.01 if "actor.2" in name else 0.1) * noise
        if name == "adam.mean":
            out[name] = 1e-3 * noise
        if name == "adam.square":
            out[name] = 1e-4 * (0.1 + noise.square())
    out["adam.steps"] = torch.tensor(ADAM_STEPS)
    out["ppo.iteration"] = torch.tensor(float(ITERATION), dtype=torch.float64)
    out["ppo.updates"] = torch.tensor(float(UPDATES), dtype=torch.float64)
    return out


# ---- the twin


class UnsuitableSeed(Exception):
    """An episode ended twice, or not in both ways: the twin could not tell what happened."""


class Normal01:
    """The normaliser of a policy's state."""

    def __init__(self, state):
        self.shift = state["policy.normaliser.mean"]
        self.scale = (state["policy.normaliser.variance"] + 1e-4).rsqrt()

    def __call__(self, raw):
        return ((torch.as_tensor(raw).double() - self.shift) * self.scale).clamp(-5, 5)


class Twin:
    def __init__(self, setup, state):
        self.setup = setup
        self.weights = {
            name.removeprefix("learner."): tensor.double().requires_grad_()
            for name, tensor in state.items()
            if name.startswith("learner.")
        }
        self.seen = Normal01(state)
        self.judged = Normal01(setup.teacher) if setup.teacher else self.seen
        self.imitates_only = bool(setup.teacher) and setup.dagger > ITERATION
        robot = setup.robot
        acted = list(robot.acted_joints)
        self.actions = len(acted)
        self.action_source = [acted.index(robot.mirror_joint[joint]) for joint in acted]
        self.action_sign = torch.tensor([robot.mirror_sign[joint] for joint in acted])
        if setup.teacher:  # three velocities are behind the actions
            self.action_source += [self.actions + axis for axis in range(3)]
            self.action_sign = torch.cat([self.action_sign, torch.tensor([1, -1, 1])])

    def net(self, name, x, weights=None):
        weights = weights or self.weights
        layers = sum(key.startswith(name) for key in weights) // 2
        for layer in range(layers):
            weight, bias = (weights[f"{name}.{layer}.{kind}"] for kind in ("weight", "bias"))
            x = x @ weight.T + bias
            if layer < layers - 1:
                x = functional.elu(x)
        return x

    def label(self, env):
        """What the teacher would answer (ENVS, actions), and the true velocities (ENVS, 3)."""
        weights = {
            name.removeprefix("policy."): tensor.double()
            for name, tensor in self.setup.teacher.items()
        }
        action = self.net("actor", self.judged(env.privileged), weights)
        velocity = torch.tensor(env.privileged[:, 9:12])  # after command, gravity and gyro
        return torch.cat([action, velocity.double()], 1)

    def value(self, x):
        return self.net("critic", x).squeeze(-1)

    def log_prob(self, action, mean):
        log_std = self.weights["log_std"]
        normal = Normal(mean, log_std.exp())
        return normal.log_prob(action).sum(-1)

    def mirrored_action(self, action):
        width = action.shape[-1]
        return action[..., self.action_source[:width]] * self.action_sign[:width]

    # -- collect

    @torch.no_grad()
    def collect(self):
        """The samples (HORIZON, ENVS, ...) of one roll-out; `ends` counts falls and time-outs.

        The environment does not say how an episode ended, so one that never ends runs beside it.
        """
        env, endless = self.setup.env(), self.setup.env(endless=True)
        source, sign = env.mirror
        self.observation_source, self.observation_sign = source, torch.tensor(sign).double()
        source, sign = env.privileged_mirror
        self.critic_source, self.critic_sign = source, torch.tensor(sign).double()
        names = ("raw", "judged", "action", "mean", "label", "log_prob", "value")
        rows = {name: [] for name in (*names, "reward", "ended")}
        left = 1 - ITERATION / self.setup.dagger if self.imitates_only else 0
        taught = int(TEACHER_SHARE * left * ENVS)
        over, self.ends = np.zeros(ENVS, bool), {"fall": 0, "time_out": 0}
        for step in range(HORIZON):
            raw = torch.tensor(env.observation)
            judged = self.judged(env.privileged)
            answer = self.net("actor", self.seen(raw))
            mean, estimate = answer[:, : self.actions], answer[:, self.actions :]
            label = self.label(env) if self.setup.teacher else torch.zeros(ENVS, 0)
            noise = [
                normals(
                    words(self.setup.seed, i, ITERATION * HORIZON + step, ACTION), mean.shape[1]
                )
                for i in range(ENVS)
            ]
            action = mean + self.weights["log_std"].exp() * torch.tensor(noise).double()
            answer = torch.cat([action, estimate], 1)
            if taught:
                answer[:taught] = label[:taught]
            env.step(answer.float())
            endless.step(answer.float())
            reward, ended = torch.tensor(env.reward).double(), torch.tensor(env.state[:, 0] == 0.0)
            if (endless.state[:, 0] == 0).any() or (ended.numpy() & over).any():
                raise UnsuitableSeed
            for i in np.flatnonzero(ended):
                over[i] = True
                self.judge(endless, i, reward)
            values = [raw, judged, action, mean, label, self.log_prob(action, mean)]
            values += [self.value(judged), reward, ended]
            for column, value in zip(rows.values(), values, strict=True):
                column.append(value)
        if 0 in self.ends.values():
            raise UnsuitableSeed
        last = self.value(self.judged(env.privileged))
        return {name: torch.stack(column).double() for name, column in rows.items()}, last

    def judge(self, endless, i, reward):
        """A fall is a fall; after a time-out the value of the state that was cut off counts."""
        _, x, y, _ = endless.state[i, 4:8]
        if 1 - 2 * (x * x + y * y) < math.cos(math.radians(TILT_LIMIT_DEG)):
            self.ends["fall"] += 1
        else:
            self.ends["time_out"] += 1
            reward[i] += GAMMA * self.value(self.judged(endless.privileged[i]))

    @staticmethod
    def advantages(rows, last):
        """GAE as a sum over what follows, quadratic but plain."""
        values = torch.cat([rows["value"], last[None]])
        goes_on = 1 - rows["ended"]
        delta = rows["reward"] + GAMMA * goes_on * values[1:] - values[:-1]
        advantage = torch.zeros_like(delta)
        for begin in range(HORIZON):
            factor = torch.ones(ENVS).double()
            for step in range(begin, HORIZON):
                advantage[begin] += factor * delta[step]
                factor = factor * GAMMA * LAMBDA * goes_on[step]
        return advantage

    # -- learn

    def loss(self, batch, rows):
        """The sum over three shards, each of which sees its last quarter in the mirror."""
        advantage = batch["advantage"][rows]
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        size, total = len(rows) // SHARDS, 0.0
        self.kl, self.plain = 0.0, 0
        for shard in range(SHARDS):
            part = slice(shard * size, (shard + 1) * size)
            total = total + self.shard_loss(batch, rows[part], advantage[part])
        return total / len(rows)

    def shard_loss(self, batch, rows, advantage):
        plain = len(rows) - round(MIRROR_SHARE * len(rows))
        names = ("x", "judged", "action", "mean", "label")
        x, judged, action, old_mean, label = (batch[name][rows].clone() for name in names)
        x[plain:] = x[plain:][:, self.observation_source] * self.observation_sign
        judged[plain:] = judged[plain:][:, self.critic_source] * self.critic_sign
        action[plain:] = self.mirrored_action(action[plain:])
        label[plain:] = self.mirrored_action(label[plain:])
        old_mean[plain:] = self.mirrored_action(old_mean[plain:])

        answer, value, log_std = self.net("actor", x), self.value(judged), self.weights["log_std"]
        mean, estimate = answer[:, : self.actions], answer[:, self.actions :]
        ratio = (self.log_prob(action, mean) - batch["log_prob"][rows]).exp()
        gain = torch.minimum(ratio * advantage, ratio.clamp(1 - CLIP, 1 + CLIP) * advantage)
        old_value, target = batch["value"][rows], batch["target"][rows]
        near = old_value + (value - old_value).clamp(-VALUE_CLIP, VALUE_CLIP)
        value_loss = torch.maximum((value - target) ** 2, (near - target) ** 2)
        distance = (((mean - old_mean) / log_std.detach().exp()) ** 2).sum(-1) / 2
        entropy_weight = ENTROPY * (1 - ITERATION / ENTROPY_ITERATIONS)

        with torch.no_grad():
            old = Normal(old_mean, batch["log_std"].exp())
            new = Normal(mean, log_std.exp())
            self.kl += kl_divergence(old, new)[:plain].sum().item()
            self.plain += plain
        practice = (
            -gain.sum()
            - entropy_weight * log_std.sum() * len(rows)
            + MIRROR_WEIGHT * distance[plain:].sum()
        )
        if self.setup.teacher:
            debt = self.debt(mean, estimate, label)
            practice = debt if self.imitates_only else practice + debt
        return practice + 0.5 * VALUE_WEIGHT * value_loss.sum()

    def debt(self, mean, estimate, label):
        """What a student owes its teacher."""
        teacher_std = self.setup.teacher["policy.log_std"].double().exp()
        own = Normal(mean, self.weights["log_std"].exp())
        divergence = kl_divergence(own, Normal(label[:, : self.actions], teacher_std)).sum()
        off = (((estimate - label[:, self.actions :]) / ESTIMATE_STD) ** 2).sum() / 2
        if self.imitates_only:
            return divergence + off
        done = min(1.0, (ITERATION - self.setup.dagger) / KL_ITERATIONS)
        weight = KL_END + (KL_START - KL_END) * (1 + math.cos(math.pi * done)) / 2
        return weight * divergence + ESTIMATE_WEIGHT * off

    def learn(self, state):
        rows, last = self.collect()
        advantage = self.advantages(rows, last)
        self.raw = rows["raw"].flatten(0, 1)
        names = ("judged", "action", "mean", "label", "log_prob", "value")
        batch = {name: rows[name].flatten(0, 1) for name in names}
        batch["x"] = self.seen(self.raw)
        batch["advantage"] = advantage.flatten()
        batch["target"] = batch["advantage"] + batch["value"]
        batch["log_std"] = self.weights["log_std"].detach().clone()

        names = list(self.weights)
        critic = [name for name in names if name.startswith("critic")]
        actor = [name for name in names if name not in critic]
        optimiser = Adam(state, self.weights, flat_order(names))
        average = {n: state[f"policy.{n}"].double() for n in names}
        updates, size = UPDATES, HORIZON * ENVS // MINIBATCHES
        for epoch in range(EPOCHS):
            samples, self.epoch_kl = shuffled(HORIZON * ENVS, epoch, self.setup.seed), []
            for part in range(MINIBATCHES):
                loss = self.loss(batch, samples[part * size : (part + 1) * size])
                self.epoch_kl.append((self.kl, self.plain))
                gradients = dict(
                    zip(names, torch.autograd.grad(loss, self.weights.values()), strict=True)
                )
                self.norms = clip(gradients, actor), clip(gradients, critic)
                rate = DAGGER_RATE if self.imitates_only else LEARNING_RATE
                optimiser.step(self.weights, gradients, rate)
                updates += 1
                decay = min(EMA, 1 - 1 / (10 + updates))
                with torch.no_grad():
                    self.weights["log_std"].clamp_(math.log(STD_MIN), math.log(STD_MAX))
                    for name in names:
                        average[name] = decay * average[name] + (1 - decay) * self.weights[name]
        return optimiser, average


def flat_order(names):
    """The order of the flat vector: actor, noise, critic; a layer's weight before its bias."""
    parts = ["actor", "log_std", "critic"]
    return sorted(names, key=lambda n: (parts.index(n.split(".")[0]), n.replace("weight", "a")))


def clip(gradients, names):
    norm = math.sqrt(sum(gradients[name].square().sum().item() for name in names))
    for name in names:
        gradients[name] = gradients[name] * min(1.0, GRAD_NORM / norm)
    return norm


class Adam:
    """Kingma & Ba, with moments taken from the flat vectors of a state."""

    def __init__(self, state, weights, order):
        self.order, self.steps = order, ADAM_STEPS
        sizes = [weights[name].numel() for name in order]
        self.mean, self.square = (
            dict(zip(order, state[f"adam.{m}"].double().split(sizes), strict=True))
            for m in ("mean", "square")
        )

    @torch.no_grad()
    def step(self, weights, gradients, learning_rate):
        self.steps += 1
        for name in self.order:
            gradient = gradients[name].flatten()
            self.mean[name] = 0.9 * self.mean[name] + 0.1 * gradient
            self.square[name] = 0.999 * self.square[name] + 0.001 * gradient**2
            mean = self.mean[name] / (1 - 0.9**self.steps)
            square = self.square[name] / (1 - 0.999**self.steps)
            change = learning_rate * mean / (square.sqrt() + 1e-8)
            weights[name] -= change.view_as(weights[name])

    def flat(self, moment):
        return torch.cat([getattr(self, moment)[name] for name in self.order])
