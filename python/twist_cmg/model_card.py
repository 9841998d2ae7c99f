"""The page about an exported policy, for people."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from .comparison import headline
from .evaluation import Policy
from .trials import Answer


def model_card(policy: Policy, contract: Mapping[str, Any]) -> str:
    """Markdown: what it is, what it needs, what was measured."""
    robot, observation = contract["robot"], contract["observation"]
    base, output = contract["action_base"], contract["output"]
    lines = [
        f"# A {contract['kind']} for {robot['name']}",
        "",
        "Follows the motion that a CMG makes of velocity commands (vx, vy in m/s, yaw rate in "
        f"rad/s), {contract['rate_hz']} times a second. Made by twist_cmg, iteration "
        f"{contract['iteration']}.",
        "",
        f"- sees {observation['width']} numbers: "
        + ", ".join(f"{b['name']} ({b['width']})" for b in observation["blocks"])
        + f", and {observation['history']['frames']} past frames",
        f"- moves {len(output['actions'])} joints: {', '.join(output['actions'])}",
        f"- adds its actions to: {_base(base)}",
    ]
    if output["estimates"]:
        lines.append("- answers with its estimate of the pelvis velocity (heading frame), too")
    return "\n".join(
        [*lines, "", "## Measured", "", *_measured(policy, contract["weights_hash"]), ""]
    )


def _base(base: Mapping[str, Any]) -> str:
    if base["mode"] == "default_offset":
        return "the default pose"
    return (
        f"the reference, {base['reference']}: its angles, {base['velocity']:g} of the torque that "
        f"damping takes and {base['torque']:g} of the torque that its motion needs (inverse "
        "dynamics of the frames, computed by the controller)"
    )


def _measured(policy: Policy, weights_hash: str) -> list[str]:
    """The figures of an evaluation that is known to be of this policy."""
    answer = _evaluation(policy, weights_hash)
    if answer is None:
        return [
            "No evaluation of it lay in its run folder; "
            "`python -m twist_cmg.evaluate policy RUN --json RUN/evaluation.json` makes one."
        ]
    how = (
        f"Plain MuJoCo, {answer['timestep'] * 1000:g} ms, {answer['collision']} collisions, "
        f"friction {answer['friction']:g}, {answer['noise']:g} times the sensor noise of training, "
        f"actions {answer['delay']:g} steps late, {answer['episodes']} episodes for each figure, "
        "driven by the CMG. Shares, m/s, rad/s, m."
    )
    rows = [f"| {name} | {value:.3g} |" for name, value in headline(answer).items()]
    return [how, "", "| figure | |", "|---|--:|", *rows]


def _evaluation(policy: Policy, weights_hash: str) -> Answer | None:
    """That of its run, or the one beside its file, if it is of these very weights."""
    for file in (policy.folder / "evaluation.json", policy.file.with_suffix(".json")):
        with suppress(OSError, ValueError):  # no such file, or one of another kind
            answer = json.loads(file.read_text())
            if isinstance(answer, dict) and answer.get("policy_hash") == weights_hash:
                return answer
    return None
