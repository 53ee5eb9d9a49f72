"""HTTP of the operator's API: routes, authentication, the wire's JSON, answers."""
