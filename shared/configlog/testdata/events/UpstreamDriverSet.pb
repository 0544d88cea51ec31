
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
†
9type.googleapis.com/gatehouse.config.v1.UpstreamDriverSetI
jiraa drivera consumer_key"'
a refa fingerprint"a env*a file
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden