# Unpins all that a set has. With test=True, plan is asked what a manifest of that set without a single entry
# would change: the same.
{% set set = salt['pillar.get']('iterctl:set') %}

no iterators:
  cmd.run:
    - name: iterctl --json unpin --set {{ set }}
    - stateful:
      - test_name: iterctl --json plan --set {{ set }} --allow-empty --file /dev/null
