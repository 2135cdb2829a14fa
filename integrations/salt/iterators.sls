# Keeps what /etc/iterctl.d lists pinned. The report that iterctl prints is what Salt wants of a stateful
# command: one line of JSON with `changed` and `comment`. With test=True, plan is run instead of apply.
{% set manifest = salt['pillar.get']('iterctl:manifest', '/etc/iterctl.d') %}

iterators:
  cmd.run:
    - name: iterctl --json apply --file {{ manifest }}
    - stateful:
      - test_name: iterctl --json plan --file {{ manifest }}
