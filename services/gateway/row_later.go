package gateway

// The rows below keep their place in the order and answer nothing yet; config warns whoever switches one of
// them on.

// restrictIP is row 4.
func restrictIP(*call) answer { return answer{} }

// bypassed is row 5.
func bypassed(*call) answer { return answer{} }

// tokenPaths is row 11b.
func tokenPaths(*call) answer { return answer{} }

// groupRules is row 12.
func groupRules(*call) answer { return answer{} }

// rateLimit is row 13.
func rateLimit(*call) answer { return answer{} }
