
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
x
:type.googleapis.com/gatehouse.config.v1.UpstreamAccountSet:
jira	a account'
a refa fingerprint"a env*a file
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden