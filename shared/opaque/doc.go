// Package opaque makes the opaque tokens Gatehouse issues itself, to admins and to users, and says of a text whether it can be one.
//
// A token is a prefix that says what it is for, 256 random bits in 43 characters of base64url (RFC 4648 §5), and the CRC-32 (IEEE)
// of all that in 6 more. So scanners of leaked secrets find it by a pattern and tell it from chance, a mistyped one is told from
// a revoked one without asking anybody, and what is kept of it can be a plain SHA-256: nobody guesses 256 bits.
package opaque
