
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
~
>type.googleapis.com/gatehouse.config.v1.DirectoryCredentialSet<
jira4
a refa fingerprint"a env*a file2a recipient
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden