// Package config is the service that decides what a valid change of the configuration is: a command comes in,
// facts go out, as one commit of the log or not at all.
//
// Who uses the admin API, and who is refused, goes to the audit trail (adminauth.Journal); what they change goes there
// from the log itself, by the audit service.
//
// It decides on API tokens too (package tokens), whose log is one of its own.
//
// In: the admin API under /api/v1 (openapi.yaml), documents in JSON or YAML; requests config.v1.readlog over
// NATS; the gateways' beats. Out: commits in streams CONFIG and TOKENS, sealed secrets in bucket SECRETS. It keeps nothing
// else: at start it folds the log from the first commit, and holds every commit in memory for history, for
// followers whose stream is damaged, and to heal a stream that was cut. Several instances may run; the log
// keeps their changes apart.
//
// The way of a change (change.go): the condition (If-Match) holds, the document is read and laid over its
// defaults (document), secrets get their names, everything is checked, the difference becomes facts (facts),
// no gateway may have another history (strangers.go), every live one must know their level, saved tests hold (tests.go: a
// gateway tries them on the document that would be, as it does for admins who have a credential tried; others have their turn
// meanwhile), secrets are sealed, the commit is appended to the very state it was decided on, and this instance follows it
// before it answers.
//
// # What happens when something is gone
//
//	NATS away at start          the API answers 503, not ready; goes on by itself           TestNATSAwayAtStart
//	NATS away later             GET answers the last good configuration, changes 503        TestNATSAwayLater
//	Postgres or audit away      nothing here needs them; audit/* answers 503                TestAuditAway
//	stream AUDIT away or full   nobody is refused: a sign-in is awaited for 500 ms, then   TestTrailAway
//	                            recorded later; a change is in the log, and so in the trail
//	stream cut or made anew     missing commits are put back byte for byte, and loudly      TestHealsACutStream, TestTheTokenLogIsHealed
//	log forked                  changes 503 and it is named; GET goes on                    TestForkedLog
//	log lost or rewound, and    changes 409 another_history (or by force=fork); GET goes on     TestALogThatWasLost
//	only a gateway knows        (tokens: without force, until TOKENS is restored)           TestATokenIsAnsweredWhenGatewaysKnowIt
//	commit of a newer program   changes 503 and it is named; GET goes on                    TestUnknownFact
//	commit too large            422; nothing is stored                                      TestTooLarge
//	keys missing                Run ends at once and names the file                         TestKeysMissing
//	NATS away, tokens           listed; issuing and revoking 503                            TestTokensWithoutNATS
//	secrets bucket away         a change with a new secret 503, nothing stored; others go   TestSecretsBucketAway
//	no gateway, or it hangs     a trial 503; a saved test that cannot be tried fails: a new one  TestWithoutAGatewayNothingIsTried
//	                            409 tests_failed, one that failed before, too, a warning
//	a gateway silent            wait=applied does not wait for it; pending names it         TestSilentGateway
//	a live gateway too old      409 gateways_too_old                                        TestGatewaysTooOld
//	another change first        412 with the current ETag; exactly one of many wins         TestOneOfManyWins
//	two instances               as one: the later one gets 412                              TestTwoInstances
//	client gone mid-change      what was begun is finished                                  TestClientGone
//	SIGTERM                     running requests end, waiting and streams are cut short     TestDrain
package config
