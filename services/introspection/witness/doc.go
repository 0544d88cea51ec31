// Package witness notes the HTTP calls that are made for a trial: what was asked, what came back, and how long it took, with
// every secret taken out.
//
// What is secret is known in two ways. Some values are named by who makes the calls (Hide): the token that is tried, a client's
// secret. Others are known by where they stand: an Authorization field, and members and parameters that hold credentials by
// their name. A named value is found wherever it stands, also escaped for a URL or for JSON, or in base64.
package witness
