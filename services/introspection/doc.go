// Package introspection says who a credential belongs to, and holds the only key that opens provider secrets.
//
//	in   identity.v1.introspect  an OAuth token   -> facts of the provider that can have issued it, normalised, with their age
//	     identity.v1.whoami      PAT, password, session -> the user, as the site's product says
//	     identity.v1.groups      a user -> which of some groups he is in, as the site's directory says: the product, or Crowd
//	     identity.v1.authorize   where a person goes to sign in; identity.v1.exchange: the code that comes back -> his token
//	     identity.v1.trial       one of these, or a token fetched, at a site as it is given, with nothing remembered and every
//	                             call noted (package witness)
//	     the configuration log                    -> which providers and nodes there are, and how they are asked
//	out  questions to providers, by the validator of each (package provider), GET to
//	     the products' nodes and to Crowd, codes and client credentials to token endpoints; nothing else, and never
//	     what a gateway should decide: exp, nbf, scopes and audience are judged there, on every call
//
// The rooms: package provider is how one identity provider is asked and what it says; remote is how anybody is called over HTTP,
// with gates and breakers; flight makes one call for all who ask the same; witness notes the calls of a trial. Here are the
// caches, the products and the directories, and keeper.go, which turns a Snapshot into what is asked.
//
// Several instances share the questions (queue group introspection). A question names the configuration it is
// asked under, and an instance that is behind catches up for at most Settings.CatchUp.
//
// Everything that can be known twice is asked once: caches under a keyed hash of site, provider, its revision and
// the credential (index.go, key.go), one call for all who ask the same at the same time (asker.go, whoami.go, groups.go). What a
// directory says of a user holds until the site's directory.max_age and is asked for anew from half of that on, behind the
// back of who asks.
// A token in use is asked about again before its time is over, from 70 to 90 % of cache.max_ttl on, likewise.
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
//	  and cache.stale_for is set  its last word on a token for so much longer, and it says so;  TestTheLastWordOfAProviderThatIsAway
//	                              once it is back it is asked about those tokens (debts.go)
//	provider says 401, 403        unavailable: our client is wrong, not the token             TestWhatAProviderMayDoWrong
//	provider says nonsense        (other status, redirect, no JSON, no active, too large,     TestWhatAProviderMayDoWrong
//	                              compressed) unavailable for that token only
//	keys or metadata not there    those that are known hold for an hour (KeysMaxAge), then    TestKeysThatCannotBeFetched
//	                              unavailable; so is a token whose key id is unknown then
//	  nonsense, too many, too big unavailable, for that provider's tokens only                TestWhatKeysAndMetadataMayBe
//	  hanging                     256 tokens wait, the rest unavailable at once               TestKeysThatHangHoldNobodyElseUp
//	  unknown key ids             inactive; keys are fetched again, each KeysPause at most    TestTokensThatAreNotTheProviders
//	one of several providers away another one's active counts; else unavailable               TestSeveralProvidersAreAskedInTheirOrder
//	too many calls at once        64 a provider, 256 wait, the rest unavailable at once       TestOneProviderGetsSoManyCallsAtOnceAndNoMore
//	node not there                the next one; all of them: unavailable                      TestTheNextNodeIsAskedWhenOneIsAway
//	the node of a session away    the next one, which may not know it                        TestASessionOfANodeThatIsAwayIsAskedForAtTheNext
//	node fails with a password    unavailable: it is shown to no second node                  TestAPasswordIsShownOnce
//	product wants a CAPTCHA       captcha, with its headers; not asked again for RefusedTTL   TestACaptchaIsReportedAndNotAskedForAgain
//	product says nonsense         unavailable, never refused                                  TestWhatProductsMayAnswer
//	directory away, slow, 5xx     its last word until max_age, then unavailable; a breaker as for     TestADirectoryThatIsAway
//	                              providers
//	directory says nonsense       its last word until max_age, then unavailable: never "no groups"  TestWhatADirectoryMayAnswer
//	directory refuses our account the same; a password is not shown again for 10 minutes            TestCrowd
//	its secret cannot be opened   unavailable, named by /readyz, tried again each SecretRetry       TestADirectoryThatCannotBeAsked
//	token endpoint wrong, away    unavailable, and what it said is in no text                       TestWhatATokenEndpointMayDoWrong
//	a sign-in altered, or old     refused; so is one whose provider is another one by now           TestPeopleSignInAtASecondProvider
//	caller leaves                 the shared call goes on for the others                      TestACallerWhoLeavesDoesNotTakeTheCallAlong
//	service ends                  what has come is answered first                             TestAServiceThatEndsAnswersWhatHasCome
//	its key is missing            it does not start                                           TestWithoutItsKeyTheServiceDoesNotStart
//
// No credential is in a log, metric, trace, error or answer, whatever the other side sends (TestSecretsAreNowhere).
package introspection
