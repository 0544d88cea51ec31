package gateway

import (
	"encoding/base64"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// account is a user of the product that Gatehouse can act as. It lives as long as its credential does, over any number
// of configurations.
type account struct {
	// authorization is the field value the node is shown.
	authorization string
	// signer acts as any user; nil: authorization is all there is to show.
	signer *signer
	// password: the product counts how often it is wrong, and asks for a CAPTCHA then.
	password bool
	refusals atomic.Int32
	restsTo  atomic.Int64 // unix nanoseconds
}

const (
	firstRest = 10 * time.Minute
	laterRest = time.Hour
)

// newAccount gives an account as a driver shows it to the product.
func newAccount(driver, name, value string) (*account, error) {
	switch driver {
	case "pat":
		if !token68(value) {
			return nil, errors.New("the credential is not a token")
		}
		return &account{authorization: "Bearer " + value}, nil
	case "basic":
		return &account{authorization: "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+value)), password: true}, nil
	default:
		return nil, fmt.Errorf("driver %q is not built yet", driver)
	}
}

// refused notes that the product did not take the credential. A password is not shown again for a while then: three
// wrong ones in a row, and Jira locks its owner out of everything but the browser.
func (a *account) refused(now time.Time) {
	if !a.password {
		return
	}
	rest := laterRest
	if a.refusals.Add(1) == 1 {
		rest = firstRest
	}
	a.restsTo.Store(now.Add(rest).UnixNano())
}

// taken notes that the product took the credential.
func (a *account) taken() {
	if a.password && a.refusals.Load() != 0 {
		a.refusals.Store(0)
		a.restsTo.Store(0)
	}
}

// rests tells whether the credential must not be shown now.
func (a *account) rests(now time.Time) bool { return a.password && now.UnixNano() < a.restsTo.Load() }

// apart gives an account like this one, of which nothing comes back.
func (a *account) apart() *account {
	other := &account{authorization: a.authorization, signer: a.signer, password: a.password}
	other.refusals.Store(a.refusals.Load())
	other.restsTo.Store(a.restsTo.Load())
	return other
}
