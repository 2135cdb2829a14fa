# Unpins all pins of a set. With test=True, Salt runs plan with a manifest of that set without entries, which would
# change the same.
{% set set = salt['pillar.get']('iterctl:set') %}

no iterators:
  cmd.run:
    - name: iterctl --json unpin --set {{ set }}
    - stateful:
      - test_name: iterctl --json plan --set {{ set }} --allow-empty --file /dev/null
