# Keeps what a manifest lists pinned.
#
#     iterctl::manifest { '/etc/iterctl.d': }
#
# `plan --detailed-exitcode` ends with 0 where there is nothing to do, with 2 where there is, and with anything
# else where it cannot tell. `unless` takes all but 0 for a reason to go on, so with it alone `--noop` would
# take an error for drift. So plan comes first, by itself: it changes nothing, and is run with `--noop`, too.
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
