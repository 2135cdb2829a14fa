# Keeps what a manifest lists pinned.
#
# `plan --detailed-exitcode` ends with 0 where there is nothing to do, with 2 where there is, and with anything
# else where it cannot tell. `not_if` with a command takes all but 0 for a reason to go on, so with it alone
# `--why-run` would take an error for drift. `shell_out!` fails the resource there.
manifest = '/etc/iterctl.d'
plan = ['iterctl', 'plan', '--detailed-exitcode', '--file', manifest]

execute "iterctl apply --file #{manifest}" do
  command ['iterctl', 'apply', '--file', manifest]
  not_if { shell_out!(plan, returns: [0, 2]).exitstatus == 0 }
end
