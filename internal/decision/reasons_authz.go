package decision

// Reasons of the gate authz.
var (
	ScopeInsufficient = &Reason{
		Code: "authz.scope_insufficient", Gate: "authz", Status: 403, Public: ToProven,
		Title:  "Scope insufficient",
		Detail: "The credential lacks the scope {scope|this operation needs}; it has {scope.got|other scopes}.",
		Means:  "The operation asks for scopes that the credential was not issued with. The application may hold the permission all the same: scopes limit one credential.",
		Advice: []Advice{
			{ByCaller, "Use a credential with the scope '{scope|needed}'."},
			{ByOwner, "Create a key with the scope '{scope|needed}' in the portal."},
			{ByOperator, "Add '{scope|the scope}' to key {key|}."},
		},
	}
	PermissionMissing = &Reason{
		Code: "authz.permission_missing", Gate: "authz", Status: 403, Public: ToProven,
		Title:  "Permission missing",
		Detail: "Application '{application|}' may not {action|do this}: none of its roles grants '{permission|the permission it takes}'.",
		Means:  "The operation asks for a permission, and no role of the application grants it.",
		Advice: []Advice{
			{ByOwner, "Ask an administrator of tenant '{tenant|}' to grant '{application|your application}' a role with '{permission|the permission}'{holders|}."},
			{ByOperator, "Grant application '{application|}' a role with '{permission|the permission}'{holders|}."},
		},
	}
	NotOwner = &Reason{
		Code: "authz.not_owner", Gate: "authz", Status: 403, Public: ToProven,
		Title:  "Not the owner",
		Detail: "Only the owner of this resource may do this.",
		Means:  "An ownership rule compares the caller with the owner of the resource, and they differ.",
		Advice: []Advice{
			{ByCaller, "Act on resources of your own, or ask their owner."},
			{ByOperator, "Grant a role that is exempt from the ownership rule."},
		},
	}
	Forbidden = &Reason{
		Code: "authz.forbidden", Gate: "authz", Status: 403, Public: ToProven,
		Title:  "Forbidden by a rule",
		Detail: "An explicit rule forbids this request.",
		Means:  "A forbid rule matched. Forbids win over every grant.",
		Advice: []Advice{
			{ByOwner, "Ask an administrator of tenant '{tenant|}'; the trace id leads to the rule."},
			{ByOperator, "Narrow the forbid rule {rule|} if it catches too much."},
		},
	}
	AuthzUnavailable = &Reason{
		Code: "authz.unavailable", Gate: "authz", Status: 503, Public: ToAnyone,
		Title:  "Authorization cannot be decided now",
		Detail: "What is needed to decide is not available.",
		Means:  "A decision point or attribute source did not answer. That is no denial; the gateway fails closed.",
		Advice: []Advice{
			{ByCaller, "Try again in a few seconds."},
			{ByOperator, "Restore {dependency|the dependency named in the trace}."},
		},
	}
)
