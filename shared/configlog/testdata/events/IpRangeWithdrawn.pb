
F
6type.googleapis.com/gatehouse.config.v1.SiteRegistered
jirajira
I
6type.googleapis.com/gatehouse.config.v1.IpRangeAllowed
jiraa range
I
6type.googleapis.com/gatehouse.config.v1.IpRangeAllowed
jira::1/128
K
8type.googleapis.com/gatehouse.config.v1.IpRangeWithdrawn
jiraa range
	bootstrapadmin	127.0.0.1golden file"€¤§Ú*golden