package decision

// Reasons of the gate subscription.
var (
	SubscriptionMissing = &Reason{
		Code: "subscription.missing", Gate: "subscription", Status: 403, Public: ToProven,
		Title:  "Not subscribed",
		Detail: "{application|This application|Application '%'} has no subscription to {api|this API}{version|| %}.",
		Means:  "No subscription connects the application with this API version.",
		Advice: []Advice{
			{ByOwner, "Subscribe the application to {api|this API}{version|| %} in the portal."},
			{ByOperator, "Create a subscription for {application|the application}."},
		},
	}
	SubscriptionPending = &Reason{
		Code: "subscription.pending", Gate: "subscription", Status: 403, Public: ToProven,
		Title:  "Subscription awaits approval",
		Detail: "{application|This application|Application '%'} awaits approval of its subscription to {api|this API}{version|| %}.",
		Means:  "The subscription was requested and awaits approval.",
		Advice: []Advice{
			{ByOwner, "Ask the team that owns {api|the API} to approve the request."},
			{ByOperator, "Approve {subscription|the subscription|subscription %}."},
		},
	}
	SubscriptionRejected = &Reason{
		Code: "subscription.rejected", Gate: "subscription", Status: 403, Public: ToProven,
		Title:  "Subscription rejected",
		Detail: "{application|This application|Application '%'} was refused a subscription to {api|this API}{version|| %}.",
		Means:  "The request for a subscription was rejected.",
		Advice: []Advice{
			{ByOwner, "Read the comment on the rejection and ask again."},
			{ByOperator, "Approve {subscription|the subscription|subscription %} if the rejection was a mistake."},
		},
	}
	SubscriptionSuspended = &Reason{
		Code: "subscription.suspended", Gate: "subscription", Status: 403, Public: ToProven,
		Title:  "Subscription suspended",
		Detail: "{application|This application|Application '%'} has a suspended subscription to {api|this API}{version|| %}.",
		Means:  "The subscription was suspended and can be resumed.",
		Advice: []Advice{
			{ByOwner, "Ask the team that owns {api|the API} why it is suspended."},
			{ByOperator, "Resume {subscription|the subscription|subscription %}."},
		},
	}
	SubscriptionRevoked = &Reason{
		Code: "subscription.revoked", Gate: "subscription", Status: 403, Public: ToProven,
		Title:  "Subscription revoked",
		Detail: "{application|This application|Application '%'} had its subscription revoked for {api|this API}{version|| %}.",
		Means:  "The subscription was withdrawn for good.",
		Advice: []Advice{
			{ByOwner, "Ask for a new subscription."},
			{ByOperator, "Create a new subscription for {application|the application}."},
		},
	}
	SubscriptionExpired = &Reason{
		Code: "subscription.expired", Gate: "subscription", Status: 403, Public: ToProven,
		Title:  "Subscription expired",
		Detail: "{application|This application|Application '%'} has an expired subscription to {api|this API}{version|| %}.",
		Means:  "The subscription had an end date, which has passed.",
		Advice: []Advice{
			{ByOwner, "Renew the subscription in the portal."},
			{ByOperator, "Extend {subscription|the subscription|subscription %}."},
		},
	}
	SubscriptionUnavailable = &Reason{
		Code: "subscription.unavailable", Gate: "subscription", Status: 503, Public: ToAnyone,
		Title:  "Subscription cannot be checked now",
		Detail: "The directory did not answer.",
		Means:  "The subscription could not be read. That is no denial; the gateway fails closed.",
		Advice: []Advice{
			{ByCaller, "Try again in a few seconds."},
			{ByOperator, "Restore {dependency|the directory}{dependency.got||: %}."},
		},
	}
)
