
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
Þ
2type.googleapis.com/gatehouse.config.v1.TestsSaved§
jiraž
a namea type"
a provider*a client_id2
a username:4
a refa fingerprint"a env*a file2a recipientBa methodJa pathRa client_ipZa expectba user
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden