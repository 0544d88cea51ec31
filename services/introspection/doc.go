// Package introspection says who a credential belongs to, and holds the only key that opens provider secrets.
//
//	in   identity.v1.introspect  an OAuth token   -> facts of the provider (RFC 7662), normalised, with their age
//	     identity.v1.whoami      PAT, password, session -> the user, as the site's product says
//	     the configuration log                    -> which providers and nodes there are, and how they are asked
//	out  POST to providers, GET to the products' nodes; nothing else, and never what a gateway should decide: exp,
//	     nbf, scopes and audience are judged there, on every call
//
// Several instances share the questions (queue group introspection). A question names the configuration it is
// asked under, and an instance that is behind catches up for at most Settings.CatchUp.
//
// Everything that can be known twice is asked once: caches under a keyed hash of site, provider, its revision and
// the credential (index.go, key.go), one call for all who ask the same at the same time (asker.go, whoami.go).
// An entry of an active token costs about 650 bytes, a large one counts as several: 100,000 take some 65 MB.
//
// # When something is wrong
//
//	no configuration yet          takes no questions; not ready                               TestAServiceMayStartBeforeNATS
//	NATS away                     nobody can ask; ready, caches stay; back by itself          TestARestartOfNATSIsSurvivedWithTheCache
//	configuration behind          waits CatchUp, then unavailable                             TestAConfigurationThatHasNotArrivedIsWaitedForAWhile
//	log damaged                   last configuration stays; config is asked for the rest      configlog.RepairFrom
//	secret cannot be opened       that provider unavailable, tried again each SecretRetry     TestAProviderWhoseSecretCannotBeOpened
//	provider not there, TLS wrong unavailable; counts for the breaker                         TestAProviderThatIsNotThere, TestTLSIs…
//	provider hangs, 5xx           unavailable; counts for the breaker                         TestWhatAProviderMayDoWrong
//	  five tokens so in 10 s      left alone for 2 s to 30 s: unavailable at once, the        TestABreakerOpensClosesAndLeavesTheCacheAlone
//	                              cache still answers; then one call tries
//	provider says 401, 403        unavailable: our client is wrong, not the token             TestWhatAProviderMayDoWrong
//	provider says nonsense        (other status, redirect, no JSON, no active, too large,     TestWhatAProviderMayDoWrong
//	                              compressed) unavailable for that token only
//	one of several providers away another one's active counts; else unavailable               TestSeveralProvidersAreAskedInTheirOrder
//	too many calls at once        64 a provider, 256 wait, the rest unavailable at once       TestOneProviderGetsSoManyCallsAtOnceAndNoMore
//	node not there                the next one; all of them: unavailable                      TestTheNextNodeIsAskedWhenOneIsAway
//	the node of a session away    the next one, which may not know it                        TestASessionOfANodeThatIsAwayIsAskedForAtTheNext
//	node fails with a password    unavailable: it is shown to no second node                  TestAPasswordIsShownOnce
//	product wants a CAPTCHA       captcha, with its headers; not asked again for RefusedTTL   TestACaptchaIsReportedAndNotAskedForAgain
//	product says nonsense         unavailable, never refused                                  TestWhatProductsMayAnswer
//	caller leaves                 the shared call goes on for the others                      TestACallerWhoLeavesDoesNotTakeTheCallAlong
//	service ends                  what has come is answered first                             TestAServiceThatEndsAnswersWhatHasCome
//	its key is missing            it does not start                                           TestWithoutItsKeyTheServiceDoesNotStart
//
// No credential is in a log, metric, trace, error or answer, whatever the other side sends (TestSecretsAreNowhere).
package introspection
