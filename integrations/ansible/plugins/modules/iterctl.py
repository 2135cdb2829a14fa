#!/usr/bin/python
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The arguments of a task → a command of iterctl → its report, in Ansible's form."""

DOCUMENTATION = r"""
module: iterctl
short_description: Pin BPF iterators as a manifest says
description:
  - Makes bpffs match a manifest with C(iterctl apply), all of it or nothing, or unpins a whole set with
    C(iterctl unpin).
  - Pins that are in sync are left alone. Pins that the manifest no longer lists are unpinned. Foreign pins are
    not touched.
options:
  state:
    description:
      - With V(present), the manifest is applied.
      - With V(absent), all pins of O(set) are unpinned. The manifest and its objects need not exist any more.
    type: str
    choices: [present, absent]
    default: present
  manifest:
    description:
      - Files on the managed host, or directories of C(*.toml). All of them together are one manifest and one set.
      - Required with O(state=present), unless O(content) is given.
    type: list
    elements: path
  content:
    description:
      - The manifest itself, as TOML.
      - The set must have a name, given with O(set) or with the key C(set) of the manifest. Messages call
        the file C(<stdin>).
    type: str
  chdir:
    description:
      - The folder on the managed host that object paths in O(content), and the paths in O(manifest), are relative
        to. Object paths in a file are relative to the file's folder.
    type: path
    default: /
  set:
    description:
      - The name of the set. It takes precedence over the name in the manifest.
      - Required with O(state=absent).
    type: str
  bpffs:
    description:
      - With O(state=absent), the bpffs with the set's pins. With O(state=present), the manifest names the bpffs.
    type: path
    default: /sys/fs/bpf
  adopt:
    description:
      - Take over iterators that another tool or set has pinned at a path of the manifest.
    type: bool
    default: false
  allow_empty:
    description:
      - Accept a manifest that lists nothing, which unpins the whole set.
    type: bool
    default: false
  keep_going:
    description:
      - Skip entries that fail, and carry out the others. The task still fails, and says which.
    type: bool
    default: false
  insecure:
    description:
      - As root, also use manifests and objects that another user could have changed.
    type: bool
    default: false
  lock_timeout:
    description:
      - How long to wait for another apply to end, in seconds or as a duration such as V(500ms) or V(2min).
      - The default is 30 seconds.
    type: str
  wait:
    description:
      - How long to wait for the bpffs, for objects and for maps that do not exist yet. A duration, as for
        O(lock_timeout).
      - In check mode, the module does not wait.
    type: str
  executable:
    description:
      - The program, by name or by path.
    type: path
    default: iterctl
attributes:
  check_mode:
    support: full
    description:
      - Runs C(iterctl plan), which reports what would change and changes nothing. It fails if C(iterctl plan)
        fails, for example if something is in the way, or if an object is missing that an earlier task would have
        copied.
      - It does not find errors that occur only when a program is loaded, for example that the verifier
        rejects it.
  diff_mode:
    support: full
    description: Shows each pin before and after the change, and the reason.
  platform:
    support: full
    platforms: linux
    description: Linux 5.10 or newer, with BTF.
requirements:
  - iterctl on the managed host
  - root on the managed host (C(become))
author:
  - the iterctl contributors
"""

EXAMPLES = r"""
- name: Pin what the drop-ins say
  iterctl.bpf.iterctl:
    manifest: /etc/iterctl.d

- name: Pin an iterator over all tasks
  iterctl.bpf.iterctl:
    set: observe
    chdir: /usr/local/lib/bpf
    content: |
      [[iter]]
      obj = "tasks.bpf.o"
      path = "observe/tasks"
      mode = "0444"

- name: Unpin all of it
  iterctl.bpf.iterctl:
    set: observe
    state: absent
"""

RETURN = r"""
comment:
  description: One line for people. The report's C(comment).
  returned: if iterctl has printed a report
  type: str
  sample: 1 replaced; 1 in sync already
changes:
  description: Every pin that was changed, would be changed, or cannot be changed. The report's C(changes).
  returned: if iterctl has printed a report
  type: list
  elements: dict
summary:
  description: The number of pins for each kind of change. The report's C(summary).
  returned: if iterctl has printed a report
  type: dict
  sample: {pin: 0, replace: 1, update: 0, unpin: 0, blocked: 0, unchanged: 1}
diagnostics:
  description: Errors, warnings and notes, with their places in the manifest. The report's C(diagnostics).
  returned: if iterctl has printed a report
  type: list
  elements: dict
cmd:
  description: The command that was run.
  returned: always
  type: list
  elements: str
rc:
  description: Its exit status.
  returned: always
  type: int
  sample: 0
"""

import json

from ansible.module_utils.basic import AnsibleModule

FORMAT_VERSION = 1

# Keys of `before` and `after` that differ after each load of a program, and do not describe the pin.
IDS = ("program_id", "link_id")

ARGUMENTS = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "manifest": {"type": "list", "elements": "path"},
    "content": {"type": "str"},
    "chdir": {"type": "path", "default": "/"},
    "set": {"type": "str"},
    "bpffs": {"type": "path", "default": "/sys/fs/bpf"},
    "adopt": {"type": "bool", "default": False},
    "allow_empty": {"type": "bool", "default": False},
    "keep_going": {"type": "bool", "default": False},
    "insecure": {"type": "bool", "default": False},
    "lock_timeout": {"type": "str"},
    "wait": {"type": "str"},
    "executable": {"type": "path", "default": "iterctl"},
}


def main():
    module = AnsibleModule(
        argument_spec=ARGUMENTS,
        mutually_exclusive=[("manifest", "content")],
        required_if=[
            ("state", "present", ("manifest", "content"), True),
            ("state", "absent", ("set",)),
        ],
        supports_check_mode=True,
    )
    arguments, stdin = command(module.params, module.check_mode)
    executable = module.get_bin_path(module.params["executable"], required=True)
    cmd = [executable, "--json", *arguments]
    rc, stdout, stderr = module.run_command(cmd, data=stdin, cwd=module.params["chdir"])

    report = parse(stdout)
    if report is None:
        module.fail_json(
            msg=f"no report of format {FORMAT_VERSION} from iterctl, which ended with {rc}",
            cmd=cmd,
            rc=rc,
            stdout=stdout,
            stderr=stderr,
        )
    result = {key: report[key] for key in ("changed", "comment", "changes", "summary", "diagnostics")}
    result.update(cmd=cmd, rc=rc)
    if module._diff:
        result["diff"] = [diff(change) for change in report["changes"] if change["action"] != "blocked"]
    if rc != 0:
        # In a plan, `changed` says whether apply would change anything if nothing were in the way.
        result["changed"] = report["changed"] and not module.check_mode
        module.fail_json(msg="\n".join(reasons(report)), **result)
    for diagnostic in report["diagnostics"]:
        if diagnostic["severity"] == "warning":
            module.warn(sentence(diagnostic))
    module.exit_json(**result)


def command(params, check_mode):
    """The arguments of iterctl, and the text for its standard input."""
    arguments = []
    stdin = None
    if params["state"] == "absent" and not check_mode:
        arguments += ["unpin", "--set", params["set"], "--bpffs", params["bpffs"]]
    elif params["state"] == "absent":
        # The plan of a set without entries shows what `unpin` would do. A JSON string is also a TOML string.
        stdin = f"bpffs = {json.dumps(params['bpffs'], ensure_ascii=False)}\n"
        arguments += ["plan", "--set", params["set"], "--allow-empty", "--file", "-"]
    else:
        arguments += ["plan" if check_mode else "apply"]
        stdin = params["content"]
        for manifest in ["-"] if params["manifest"] is None else params["manifest"]:
            arguments += ["--file", manifest]
        if params["set"] is not None:
            arguments += ["--set", params["set"]]
        for flag in ("adopt", "allow_empty", "keep_going", "insecure"):
            if params[flag]:
                arguments.append("--" + flag.replace("_", "-"))
        if params["wait"] is not None and not check_mode:
            arguments += ["--wait", params["wait"]]
    if params["lock_timeout"] is not None and not check_mode:
        arguments += ["--lock-timeout", params["lock_timeout"]]
    return arguments, stdin


def parse(stdout):
    """The report, or None if this module cannot read it."""
    try:
        report = json.loads(stdout)
    except ValueError:
        return None
    return report if report.get("format_version") == FORMAT_VERSION else None


def reasons(report):
    """Every diagnostic with its place. If none is an error, as in a plan, also what is in the way."""
    if not any(diagnostic["severity"] == "error" for diagnostic in report["diagnostics"]):
        for change in report["changes"]:
            if change["action"] == "blocked":
                yield f"{change['path']}: {explain(change)}"
    for diagnostic in report["diagnostics"]:
        yield sentence(diagnostic)


def sentence(diagnostic):
    """A diagnostic in one line."""
    place = diagnostic["place"]
    words = [": ".join([diagnostic["message"], *diagnostic["causes"]])]
    if place:
        words.insert(0, f"{place['file']}:{place['line']}:{place['column']}:")
    if diagnostic["hint"]:
        words.append(f"({diagnostic['hint']})")
    return " ".join(words)


def explain(change):
    return ", ".join(reason["message"] for reason in change["reasons"])


def diff(change):
    """A pin before and after the change. These do not show every kind of change, so the reason is added."""
    before, after = describe(change["before"]), describe(change["after"])
    return {
        "before_header": change["path"],
        "after_header": change["path"],
        "before": before,
        "after": f"# {explain(change)}\n{after}" if before and after else after,
    }


def describe(state):
    """The properties of a pin, one per line; an empty text if there is no pin."""
    lines = [
        f"{key}: {value}\n" for key, value in (state or {}).items() if key not in IDS and value is not None
    ]
    return "".join(lines)


if __name__ == "__main__":
    main()
