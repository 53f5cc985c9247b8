"""The Common Expression Language (https://github.com/google/cel-spec): lexer, parser, type checker, evaluator and
standard library. Pure, and of no use to Kubernetes alone: what Kubernetes adds is `netsim.api.cel_library`."""
