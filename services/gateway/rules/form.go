package rules

// Form finds parameters by name in an application/x-www-form-urlencoded body (WHATWG URL §5.1) while it streams past. It
// keeps nothing but the name it is in. The zero Form stands at the beginning of a body.
type Form struct {
	name    [longestName]byte
	length  int  // of name; one more than fits: a longer one
	escape  int8 // hex digits of an escape that are still to come
	high    byte
	inValue bool
}

// longestName is the longest parameter that can be looked for, in bytes.
const longestName = 32

// Has reads the next bytes of a body and tells whether a parameter that want accepts begins in them: its name is whole,
// and "=" or "&" came.
func (f *Form) Has(next []byte, want func(name string) bool) bool {
	for _, c := range next {
		switch {
		case c == '&':
			if !f.inValue && want(f.take()) {
				return true
			}
			f.length, f.escape, f.inValue = 0, 0, false
		case f.inValue:
		case c == '=':
			if want(f.take()) {
				return true
			}
			f.inValue = true
		default:
			f.add(c)
		}
	}
	return false
}

// add decodes one byte of a name.
func (f *Form) add(c byte) {
	switch {
	case f.escape == 2 && unhex(c) >= 0:
		f.high, f.escape = byte(unhex(c)<<4), 1 //nolint:gosec // below 16
		return
	case f.escape == 1 && unhex(c) >= 0:
		c, f.escape = f.high|byte(unhex(c)), 0 //nolint:gosec // below 16
	case f.escape > 0: // no escape: no name anybody looks for
		f.escape, f.length = 0, longestName+1
		return
	case c == '%':
		f.escape = 2
		return
	case c == '+':
		c = ' '
	}
	if f.length < longestName {
		f.name[f.length] = c
	}
	f.length = min(f.length+1, longestName+1)
}

func (f *Form) take() string {
	if f.length > longestName || f.escape > 0 {
		return ""
	}
	return string(f.name[:f.length])
}
