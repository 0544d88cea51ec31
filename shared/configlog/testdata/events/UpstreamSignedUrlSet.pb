
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
M
<type.googleapis.com/gatehouse.config.v1.UpstreamSignedUrlSet
jiraa url
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden