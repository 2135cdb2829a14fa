# Keeps the iterators pinned that /etc/iterctl.d lists. The report of iterctl has the form that Salt requires of a
# stateful command: one line of JSON with `changed` and `comment`. With test=True, Salt runs plan instead of apply.
{% set manifest = salt['pillar.get']('iterctl:manifest', '/etc/iterctl.d') %}

iterators:
  cmd.run:
    - name: iterctl --json apply --file {{ manifest }}
    - stateful:
      - test_name: iterctl --json plan --file {{ manifest }}
