# Keeps the iterators pinned that a manifest lists.
#
# `plan --detailed-exitcode` exits with 0 if there is nothing to do, with 2 if there is something to do, and with
# another status on an error. `not_if` with a command treats every status except 0 as "go on", so `--why-run` would
# show an error as drift. With `shell_out!`, an error fails the resource.
manifest = '/etc/iterctl.d'
plan = ['iterctl', 'plan', '--detailed-exitcode', '--file', manifest]

execute "iterctl apply --file #{manifest}" do
  command ['iterctl', 'apply', '--file', manifest]
  not_if { shell_out!(plan, returns: [0, 2]).exitstatus == 0 }
end
