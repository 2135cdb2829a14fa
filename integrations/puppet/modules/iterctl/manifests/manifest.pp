# Keeps the iterators pinned that a manifest lists.
#
#     iterctl::manifest { '/etc/iterctl.d': }
#
# `plan --detailed-exitcode` exits with 0 if there is nothing to do, with 2 if there is something to do, and with
# another status on an error. `unless` treats every status except 0 as "go on", so `--noop` would show an error as
# drift. For this reason, `plan` runs first, in its own resource. It changes nothing, so it also runs with `--noop`.
#
# @param manifest a manifest, or a directory of them
# @param program the path of iterctl
define iterctl::manifest (
  String $manifest = $title,
  String $program  = '/usr/bin/iterctl',
) {
  exec { "plan ${manifest}":
    command => [$program, 'plan', '--file', $manifest],
    unless  => [[$program, 'plan', '--file', $manifest]],
    noop    => false,
  }
  -> exec { "apply ${manifest}":
    command => [$program, 'apply', '--file', $manifest],
    unless  => [[$program, 'plan', '--detailed-exitcode', '--file', $manifest]],
  }
}
