package decision

// Reasons of the gate ip.
var (
	IPDenied = &Reason{
		Code: "ip.denied", Gate: "ip", Status: 403, Public: ToOperator,
		Title:  "Address denied",
		Detail: "The client address{address.got|| %} is on a deny list.",
		Means:  "The client address, as found behind trusted proxies, is within a denied range.",
		Advice: []Advice{
			{ByCaller, "Quote the trace id to the operator of this API."},
			{ByOperator, "Remove or narrow the range{range|| %} in `ip.deny`."},
		},
	}
	IPNotAllowed = &Reason{
		Code: "ip.not_allowed", Gate: "ip", Status: 403, Public: ToOperator,
		Title:  "Address not allowed",
		Detail: "The client address{address.got|| %} is on no allow list of this route.",
		Means:  "The route accepts listed addresses only, and the client address, as found behind trusted proxies, is not within any of them.",
		Advice: []Advice{
			{ByCaller, "Quote the trace id to the operator of this API."},
			{ByOperator, "Add the address to `ip.allow`; if the address is that of a load balancer, add that balancer to `trusted_proxies`."},
		},
	}
	IPUnclear = &Reason{
		Code: "ip.unclear", Gate: "ip", Status: 400, Public: ToAnyone,
		Title:  "Client address unclear",
		Detail: "The forwarding fields that a trusted proxy sent cannot be read.",
		Means:  "A trusted proxy sent an X-Forwarded-For or Forwarded field that is malformed, so the client address is unknown. Postern does not guess an address that lists decide on.",
		Advice: []Advice{
			{ByCaller, "Remove forwarding fields of your own making."},
			{ByOperator, "Check how the proxy at {peer|the connecting address} writes {field|its forwarding field}."},
		},
	}
)
