package gateway

// rateLimit is row 13. It keeps its place and answers nothing yet; config warns whoever switches it on.
func rateLimit(*call) answer { return answer{} }
